-- $1: [key, …]
DELETE FROM idempotency WHERE key = ANY (ARRAY(SELECT json_array_elements_text($1::json)))
