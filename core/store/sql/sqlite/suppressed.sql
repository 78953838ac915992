-- Which of these recipients are told nothing. ?1: [[app, recipient], …]  ?2: now
SELECT json_group_array(json_array(s.app, s.recipient, s.expires_at))
FROM json_each(?1) AS j
CROSS JOIN suppression AS s ON s.app = j.value ->> 0 AND s.recipient = j.value ->> 1
WHERE s.expires_at IS NULL OR s.expires_at > ?2
