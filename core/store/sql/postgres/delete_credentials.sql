-- Unlike SQLite's with their identities, which stand apart. And it looks at each once more, as sweep_credentials.sql did: another
-- node may have bound it since, or used it up. One that another node has locked stays for the next time. Answers with those
-- that left.
-- $1: [id, …]  $2: now  $3: used ones leave if they came before
WITH held AS MATERIALIZED (
    SELECT id
    FROM credential
    WHERE id = ANY (ARRAY(SELECT value::bigint FROM json_array_elements_text($1::json)))
      AND bound_to IS NULL
      AND ((uses_left > 0 AND expires_at IS NOT NULL AND expires_at <= $2)
           OR (uses_left = 0 AND created_at <= $3 AND (expires_at IS NULL OR expires_at <= $2)))
    FOR UPDATE SKIP LOCKED
),
gone AS (
    DELETE FROM credential
    WHERE id = ANY (ARRAY(SELECT id FROM held))
    RETURNING id, identity, source, app
),
named AS (
    DELETE FROM credential_identity AS c
    USING gone
    WHERE c.identity = gone.identity AND c.source = gone.source AND c.app = gone.app AND c.credential_id = gone.id
)
SELECT coalesce(json_agg(id), '[]')::text FROM gone
