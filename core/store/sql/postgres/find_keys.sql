-- Which of these idempotency keys are taken, and by what. $1: [key, …]  $2: now
SELECT coalesce(json_agg(json_build_array(key, message_id, body_hash)), '[]')::text
FROM idempotency
WHERE key = ANY (ARRAY(SELECT json_array_elements_text($1::json))) AND expires_at > $2
