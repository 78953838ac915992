-- Which of these idempotency keys are taken, and by what. ?1: [key, …]  ?2: now
SELECT json_group_array(json_array(key, message_id, body_hash))
FROM idempotency
WHERE key IN (SELECT value FROM json_each(?1)) AND expires_at > ?2
