-- A key whose time is over may be taken again before it is removed. ?1: as in insert_messages.sql
INSERT OR REPLACE INTO idempotency (key, message_id, body_hash, expires_at)
SELECT value ->> 10, value ->> 0, value ->> 11, value ->> 12
FROM json_each(?1)
WHERE value ->> 10 IS NOT NULL
