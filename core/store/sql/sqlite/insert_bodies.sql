WITH new (message_id, data) AS (VALUES (?, ?))
INSERT INTO body (message_id, data)
SELECT message_id, data
FROM new
WHERE message_id IS NOT NULL
