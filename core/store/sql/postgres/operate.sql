-- An operator's move. Generation goes up: what was claimed before cannot settle any more. A message that is sent
-- again from the start, now (1) or later (0), forgets its attempts; one that was held in doubt keeps its doubt, and one
-- that is held in the middle of an attempt is in doubt from then on, because nobody will see what came of it. A message
-- that had ended and whose time is over by when it is due gets a time without end: it would end again unsent.
-- $1: [[id, from, to, due_at], …]  $2: now  $3: reason  $4: detail
-- The ids stand there once more as an array, so that they are looked up in each table, and none is joined as a whole.
WITH j AS MATERIALIZED (
    SELECT (value ->> 0)::bigint AS id, (value ->> 1)::bigint AS was, (value ->> 2)::bigint AS becomes,
           (value ->> 3)::bigint AS due_at
    FROM json_array_elements($1::json)
)
UPDATE message
SET state       = j.becomes,
    generation  = message.generation + 1,
    due_at      = CASE j.becomes WHEN 1 THEN $2 WHEN 0 THEN coalesce(j.due_at, $2) ELSE message.due_at END,
    attempts    = CASE WHEN j.becomes <= 1 THEN 0 ELSE message.attempts END,
    rescues     = CASE WHEN j.becomes <= 1 THEN 0 ELSE message.rescues END,
    ambiguous   = CASE
        WHEN j.was = 3 THEN 1
        WHEN j.was = 4 THEN message.ambiguous
        WHEN j.becomes <= 1 THEN 0
        ELSE message.ambiguous
    END,
    expires_at  = CASE
        WHEN j.was = 9 OR (j.was >= 5 AND message.expires_at <= coalesce(j.due_at, $2)) THEN NULL
        ELSE message.expires_at
    END,
    finished_at = CASE WHEN j.becomes >= 5 THEN $2 END,
    reason      = $3,
    detail      = $4
FROM j
WHERE message.id = j.id AND message.state = j.was AND message.id = ANY (ARRAY(SELECT id FROM j))
RETURNING message.id, message.channel_id
