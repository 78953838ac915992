-- An operator's move. Generation goes up: what was claimed before cannot settle any more. A message that is sent
-- again from the start, now (1) or later (0), forgets its attempts; one that was held in doubt keeps its doubt, and one
-- that is held in the middle of an attempt is in doubt from then on, because nobody will see what came of it. A message
-- that had ended and whose time is over by when it is due gets a time without end: it would end again unsent.
-- ?1: [[id, from, to, due_at], …]  ?2: now  ?3: reason  ?4: detail
UPDATE message
SET state       = j.value ->> 2,
    generation  = generation + 1,
    due_at      = CASE j.value ->> 2 WHEN 1 THEN ?2 WHEN 0 THEN coalesce(j.value ->> 3, ?2) ELSE due_at END,
    attempts    = CASE WHEN j.value ->> 2 <= 1 THEN 0 ELSE attempts END,
    rescues     = CASE WHEN j.value ->> 2 <= 1 THEN 0 ELSE rescues END,
    ambiguous   = CASE
        WHEN j.value ->> 1 = 3 THEN 1
        WHEN j.value ->> 1 = 4 THEN ambiguous
        WHEN j.value ->> 2 <= 1 THEN 0
        ELSE ambiguous
    END,
    expires_at  = CASE
        WHEN j.value ->> 1 = 9 OR (j.value ->> 1 >= 5 AND expires_at <= coalesce(j.value ->> 3, ?2)) THEN NULL
        ELSE expires_at
    END,
    finished_at = CASE WHEN j.value ->> 2 >= 5 THEN ?2 END,
    reason      = ?3,
    detail      = ?4
FROM json_each(?1) AS j
WHERE message.id = j.value ->> 0 AND message.state = j.value ->> 1
RETURNING message.id, message.channel_id
