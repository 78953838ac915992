-- Which of these apps tell one recipient nothing. ?1: [app, …]  ?2: recipient  ?3: now
SELECT json_group_array(json_array(p.app, p.reason, p.expires_at))
FROM json_each(?1) AS j
CROSS JOIN suppression AS p ON p.app = j.value AND p.recipient = ?2
WHERE p.expires_at IS NULL OR p.expires_at > ?3
