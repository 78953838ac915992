-- Which of these recipients an app tells nothing. $1: [recipient, …]  $2: app  $3: now
SELECT coalesce(json_agg(p.recipient), '[]')::text
FROM suppression AS p
WHERE p.app = $2 AND p.recipient = ANY (ARRAY(SELECT json_array_elements_text($1::json)))
  AND (p.expires_at IS NULL OR p.expires_at > $3)
