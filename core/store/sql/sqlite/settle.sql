-- Writes what the settlements say. The fence is here: an outcome that carries an older generation, or meets a message
-- that is no longer being sent, changes nothing and is not counted.
WITH j (id, generation, state, due_at, counts, ambiguous, rescued, finished_at, reason, detail, provider_id)
    AS (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?))
UPDATE message
SET state       = j.state,
    due_at      = coalesce(j.due_at, message.due_at),
    attempts    = message.attempts + j.counts,
    ambiguous   = j.ambiguous,
    rescues     = message.rescues + j.rescued,
    finished_at = j.finished_at,
    reason      = j.reason,
    detail      = j.detail,
    provider_id = j.provider_id
FROM j
WHERE message.id = j.id
  AND message.generation = j.generation
  AND message.state = 3
