-- Which of these recipients an app tells nothing. ?1: [recipient, …]  ?2: app  ?3: now
SELECT json_group_array(j.value)
FROM json_each(?1) AS j
CROSS JOIN suppression AS p ON p.app = ?2 AND p.recipient = j.value
WHERE p.expires_at IS NULL OR p.expires_at > ?3
