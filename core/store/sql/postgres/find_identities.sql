-- Which of these identities the ledger has, used or not. $1: app  $2: source  $3: [identity, …]
SELECT coalesce(json_agg(identity), '[]')::text
FROM credential
WHERE app = $1 AND source = $2 AND identity = ANY (ARRAY(SELECT json_array_elements_text($3::json)))
