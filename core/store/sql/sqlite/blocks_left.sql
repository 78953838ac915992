-- The next blocks that have a list, oldest first, and whether a message of theirs is left.
-- ?1: after this block  ?2: before this id  ?3: at most
SELECT id, EXISTS (SELECT 1 FROM message AS m WHERE m.id >= s.id << 13 AND m.id < (s.id + 1) << 13)
FROM signpost AS s
WHERE id > ?1 AND id < ?2
ORDER BY id LIMIT ?3 + 0
