-- Which of those that were to be inserted are new. $1: [id, …]
SELECT coalesce(json_agg(id), '[]')::text
FROM credential
WHERE id = ANY (ARRAY(SELECT value::bigint FROM json_array_elements_text($1::json)))
