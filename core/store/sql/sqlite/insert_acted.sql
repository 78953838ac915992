-- A message that one act moves twice stands there once.
WITH new (message_id, audit_id) AS (VALUES (?, ?))
INSERT OR IGNORE INTO acted (message_id, audit_id)
SELECT message_id, audit_id
FROM new
WHERE message_id IS NOT NULL
