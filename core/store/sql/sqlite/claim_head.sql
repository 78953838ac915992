-- The head of a channel whose messages need credentials, with what is bound to each already: one that was kept after
-- an ambiguous try goes out with its own message again. ?1: channel  ?2: now  ?3: at most
SELECT m.id, m.template_id, m.recipient, c.id AS credential_id, c.source, c.value, c.expires_at,
       c.created_at AS taken_at
FROM message AS m
LEFT JOIN credential AS c ON c.bound_to = m.id
WHERE m.state = 1 AND m.channel_id = ?1 AND (m.expires_at IS NULL OR m.expires_at > ?2)
ORDER BY m.priority DESC, m.due_at, m.id
LIMIT ?3
