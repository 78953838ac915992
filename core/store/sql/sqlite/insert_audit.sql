WITH new (id, at, who, act, subject, why, detail, count) AS (VALUES (?, ?, ?, ?, ?, ?, ?, ?))
INSERT INTO audit (id, at, who, act, subject, why, detail, count)
SELECT id, at, who, act, subject, why, detail, count
FROM new
WHERE id IS NOT NULL
