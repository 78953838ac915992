-- Takes what needs no credential. ?1: channel  ?2: now  ?3: at most
UPDATE message
SET state        = 3,
    generation   = generation + 1,
    claimed_at   = ?2,
    first_try_at = CASE ambiguous WHEN 1 THEN first_try_at ELSE ?2 END
WHERE id IN (
    SELECT id FROM message
    WHERE state = 1 AND channel_id = ?1 AND (expires_at IS NULL OR expires_at > ?2)
    ORDER BY priority DESC, due_at, id LIMIT ?3
)
RETURNING id, generation, template_id, recipient, attempts, rescues, ambiguous, first_try_at, expires_at, created_at,
          (SELECT data FROM body WHERE message_id = message.id) AS data, priority, due_at
