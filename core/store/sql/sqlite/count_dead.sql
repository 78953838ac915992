-- How many a bulk act is for, the last of them, and whether any may have arrived. The parameters are those of find_dead.sql.
SELECT count(*), max(id), max(ambiguous)
FROM message
WHERE (state = 4 OR state = 7 OR state = 8 OR state = 9 OR state = 10)
  AND state = ?1 AND id > ?5 AND id <= ?6
  AND (?2 IS NULL OR channel_id = (SELECT id FROM channel WHERE name = ?2))
  AND (?3 IS NULL OR reason = ?3)
  AND (?4 IS NULL OR template_id = (SELECT id FROM template WHERE name = ?4))
