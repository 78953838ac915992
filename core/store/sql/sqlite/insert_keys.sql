-- A key whose time is over may be taken again before it is removed.
WITH new (key, message_id, body_hash, expires_at) AS (VALUES (?, ?, ?, ?))
INSERT OR REPLACE INTO idempotency (key, message_id, body_hash, expires_at)
SELECT key, message_id, body_hash, expires_at
FROM new
WHERE key IS NOT NULL
