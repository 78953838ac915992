-- A value that was there before is not inserted, whatever became of it.
-- Unlike SQLite's it goes in the order of identities: two nodes that insert the same ones do not wait for each other.
WITH new (id, app, source, recipient, scope, value, identity, uses_left, expires_at, created_at, made_at)
    AS (SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                             $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[]))
INSERT INTO credential (id, app, source, recipient, scope, value, identity, uses_left, expires_at, created_at, made_at)
SELECT id, app, source, recipient, scope, value, identity, uses_left, expires_at, created_at, made_at
FROM new
ORDER BY app, source, identity, id
ON CONFLICT (app, source, identity) DO NOTHING
