-- Which of these identities the ledger has, used or not. $1: app  $2: source  $3: [identity, …]
-- OFFSET 0 has each looked up: as a list they are held against all that the app has of that source.
SELECT coalesce(json_agg(c.identity), '[]')::text
FROM json_array_elements_text($3::json) AS j (identity)
CROSS JOIN LATERAL (
    SELECT c.identity
    FROM credential_identity AS c
    WHERE c.identity = j.identity AND c.source = $2 AND c.app = $1
    OFFSET 0
) AS c
