-- Unlike SQLite's with their identities, which stand apart. $1: [id, …]
WITH gone AS (
    DELETE FROM credential
    WHERE id = ANY (ARRAY(SELECT value::bigint FROM json_array_elements_text($1::json)))
    RETURNING id, identity, source, app
)
DELETE FROM credential_identity AS c
USING gone
WHERE c.identity = gone.identity AND c.source = gone.source AND c.app = gone.app AND c.credential_id = gone.id
