WITH new (message_id, data, trace) AS (VALUES (?, ?, ?))
INSERT INTO body (message_id, data, trace)
SELECT message_id, data, trace
FROM new
WHERE message_id IS NOT NULL
