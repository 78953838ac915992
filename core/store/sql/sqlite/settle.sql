-- Writes what the settlements say. The fence is here: an outcome that carries an older generation, or meets a message
-- that is no longer being sent, changes nothing and is not returned.
-- ?1: [[id, generation, state, due_at, counts, ambiguous, rescued, finished_at, reason, detail, provider_id], …]
UPDATE message
SET state       = j.value ->> 2,
    due_at      = coalesce(j.value ->> 3, due_at),
    attempts    = attempts + (j.value ->> 4),
    ambiguous   = j.value ->> 5,
    rescues     = rescues + (j.value ->> 6),
    finished_at = j.value ->> 7,
    reason      = j.value ->> 8,
    detail      = j.value ->> 9,
    provider_id = j.value ->> 10
FROM json_each(?1) AS j
WHERE message.id = j.value ->> 0
  AND message.generation = j.value ->> 1
  AND message.state = 3
RETURNING message.id, message.generation, message.channel_id, message.state
