-- The keys of messages that copy_messages.sql takes in. A key whose time is over may be taken again before it is removed.
-- One whose time is not over is never taken: another node may have taken it since find_keys.sql, or nobody looked, and then
-- fewer are written than there are. In the order of keys: two nodes do not wait for each other. $5, behind the rows: now
WITH new (key, message_id, body_hash, expires_at)
    AS (SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]))
INSERT INTO idempotency (key, message_id, body_hash, expires_at)
SELECT key, message_id, body_hash, expires_at
FROM new
ORDER BY key
ON CONFLICT (key) DO UPDATE
SET message_id = excluded.message_id, body_hash = excluded.body_hash, expires_at = excluded.expires_at
WHERE idempotency.expires_at <= $5
