WITH new (id, marks) AS (VALUES (?, ?))
INSERT OR REPLACE INTO signpost (id, marks)
SELECT id, marks
FROM new
WHERE id IS NOT NULL
