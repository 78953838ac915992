-- ?1: now  ?2: at most
UPDATE message
SET state = 1
WHERE id IN (SELECT id FROM message WHERE state = 0 AND due_at <= ?1 ORDER BY due_at, id LIMIT ?2 + 0)
