-- A value that was there before is not inserted, whatever became of it.
-- Unlike SQLite's it asks a table of their own for the identities that are known: credentials are rewritten all the time,
-- and those never. In the order of identities: two nodes that insert the same ones do not wait for each other.
WITH new (id, app, source, recipient, scope, value, identity, uses_left, expires_at, created_at, made_at)
    AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                         $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[])),
named AS (
    INSERT INTO credential_identity (identity, source, app, credential_id)
    SELECT identity, source, app, id
    FROM new
    WHERE identity IS NOT NULL
    ORDER BY identity, source, app, id
    ON CONFLICT (identity, source, app) DO NOTHING
    RETURNING credential_id
)
INSERT INTO credential (id, app, source, recipient, scope, value, identity, uses_left, expires_at, created_at, made_at)
SELECT id, app, source, recipient, scope, value, identity, uses_left, expires_at, created_at, made_at
FROM new
WHERE identity IS NULL OR id IN (SELECT credential_id FROM named)
