-- The head of a channel, with what is bound to each message already: a credential that was kept after an ambiguous try
-- goes out with its own message again. What was never claimed has none. The limit is a sum, because SQLite
-- plans a statement anew for each value of a limit that is a variable alone. ?1: channel  ?2: now  ?3: at most
SELECT json_group_array(json_array(id, generation, template_id, recipient, attempts, rescues, ambiguous, first_try_at,
                                   expires_at, created_at, data, credential_id, source, value, credential_expires_at,
                                   taken_at, trace, waited))
FROM (
    SELECT m.id, m.generation, m.template_id, m.recipient, m.attempts, m.rescues, m.ambiguous, m.first_try_at,
           m.expires_at, m.created_at, b.data, c.id AS credential_id, c.source, c.value,
           c.expires_at AS credential_expires_at, c.created_at AS taken_at, b.trace,
           m.reason = 'no_credential' AS waited
    FROM message AS m
    LEFT JOIN body AS b ON b.message_id = m.id
    LEFT JOIN credential AS c ON m.generation > 0 AND c.bound_to = m.id
    WHERE m.state = 1 AND m.channel_id = ?1 AND (m.expires_at IS NULL OR m.expires_at > ?2)
    ORDER BY m.priority DESC, m.due_at, m.id
    LIMIT ?3 + 0
)
