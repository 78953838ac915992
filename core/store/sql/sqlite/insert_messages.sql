WITH new (id, channel_id, template_id, recipient, state, priority, due_at, expires_at, run_id, created_at)
    AS (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?))
INSERT INTO message (id, channel_id, template_id, recipient, state, priority, due_at, expires_at, run_id, created_at)
SELECT id, channel_id, template_id, recipient, state, priority, due_at, expires_at, run_id, created_at
FROM new
WHERE id IS NOT NULL
