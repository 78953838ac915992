-- What a crash left in the middle of an attempt, with the credential it had.
SELECT m.id, m.generation, m.channel_id, m.template_id, m.attempts, m.rescues, m.ambiguous, m.claimed_at,
       m.first_try_at, m.expires_at, c.source, c.expires_at AS credential_expires_at,
       c.created_at AS taken_at, m.recipient
FROM message AS m
LEFT JOIN credential AS c ON c.bound_to = m.id
WHERE m.state = 3
ORDER BY m.id
