WITH new (message_id, generation, started_at, ended_at, outcome, detail) AS (VALUES (?, ?, ?, ?, ?, ?))
INSERT OR IGNORE INTO attempt (message_id, generation, started_at, ended_at, outcome, detail)
SELECT message_id, generation, started_at, ended_at, outcome, detail
FROM new
WHERE message_id IS NOT NULL
