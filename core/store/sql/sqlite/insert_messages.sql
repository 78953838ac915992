-- ?1: [[id, channel_id, template_id, recipient, state, priority, due_at, expires_at, run_id, data, key, hash, key_expires_at], …]
-- ?2: now
INSERT INTO message (id, channel_id, template_id, recipient, state, priority, due_at, expires_at, run_id, created_at)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
       value ->> 8, ?2
FROM json_each(?1)
