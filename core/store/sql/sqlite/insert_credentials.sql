-- A value that was there before is not inserted, whatever became of it.
WITH new (id, app, source, recipient, scope, value, identity, uses_left, expires_at, created_at, made_at)
    AS (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?))
INSERT INTO credential (id, app, source, recipient, scope, value, identity, uses_left, expires_at, created_at, made_at)
SELECT id, app, source, recipient, scope, value, identity, uses_left, expires_at, created_at, made_at
FROM new
WHERE id IS NOT NULL
ON CONFLICT (app, source, identity) DO NOTHING
