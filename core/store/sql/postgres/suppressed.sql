-- Which of these recipients are told nothing. $1: [[app, recipient], …]  $2: now
SELECT coalesce(json_agg(json_build_array(s.app, s.recipient, s.expires_at)), '[]')::text
FROM json_array_elements($1::json) AS j
CROSS JOIN LATERAL (
    SELECT p.app, p.recipient, p.expires_at
    FROM suppression AS p
    WHERE p.app = j.value ->> 0 AND p.recipient = j.value ->> 1 AND (p.expires_at IS NULL OR p.expires_at > $2)
    OFFSET 0
) AS s
