-- A slice of the idempotency keys, in their order: how many were looked at, the last of them, and which leave.
-- ?1: after  ?2: at most  ?3: now
SELECT json_array(count(*), max(key), json_group_array(key) FILTER (WHERE expires_at <= ?3))
FROM (SELECT key, expires_at FROM idempotency WHERE key > ?1 ORDER BY key LIMIT ?2)
