-- A value that was there before is not inserted and not returned, whatever became of it.
-- ?1: [[place, app, source, recipient, scope, value, identity, uses, expires_at], …]   ?2: now
INSERT INTO credential (id, app, source, recipient, scope, value, identity, uses_left, expires_at, created_at)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
       value ->> 8, ?2
FROM json_each(?1)
WHERE true
ON CONFLICT (app, source, identity) DO NOTHING
RETURNING id
