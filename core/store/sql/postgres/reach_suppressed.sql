-- Which of these apps tell one recipient nothing. $1: [app, …]  $2: recipient  $3: now
SELECT coalesce(json_agg(json_build_array(p.app, p.reason, p.expires_at)), '[]')::text
FROM suppression AS p
WHERE p.app = ANY (ARRAY(SELECT json_array_elements_text($1::json))) AND p.recipient = $2
  AND (p.expires_at IS NULL OR p.expires_at > $3)
