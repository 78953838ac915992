-- The next of those that a bulk act is for, oldest first. ?1: state  ?2: channel  ?3: reason  ?4: template, each of these
-- three NULL for any  ?5: after this id  ?6: up to this one  ?7: at most
SELECT id
FROM message
WHERE (state = 4 OR state = 7 OR state = 8 OR state = 9 OR state = 10)
  AND state = ?1 AND id > ?5 AND id <= ?6
  AND (?2 IS NULL OR channel_id = (SELECT id FROM channel WHERE name = ?2))
  AND (?3 IS NULL OR reason = ?3)
  AND (?4 IS NULL OR template_id = (SELECT id FROM template WHERE name = ?4))
ORDER BY id
LIMIT ?7
