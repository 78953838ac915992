-- A slice of the idempotency keys, in their order: how many were looked at, the last of them, and which leave.
-- $1: after  $2: at most  $3: now
-- Unlike SQLite's it locks those that leave, so that no other node takes one again before it is removed.
WITH slice AS MATERIALIZED (SELECT key, expires_at FROM idempotency WHERE key > $1 ORDER BY key LIMIT $2),
leaves AS MATERIALIZED (
    SELECT key
    FROM idempotency
    WHERE key = ANY (ARRAY(SELECT key FROM slice WHERE expires_at <= $3)) AND expires_at <= $3
    ORDER BY key
    FOR UPDATE SKIP LOCKED
)
SELECT json_build_array(
    (SELECT count(*) FROM slice), (SELECT max(key) FROM slice), (SELECT coalesce(json_agg(key), '[]') FROM leaves)
)::text
