-- Writes what the settlements say. The fence is here: an outcome that carries an older generation, or meets a message
-- that is no longer being sent, changes nothing and is not counted. The row goes to the table of its new state.
-- `+ 0` keeps the planner from walking the index of what is being sent: it never knows how many those are, thinks of
-- one, and compares each with each. What is left to it is to look up every id.
WITH j (id, generation, state, due_at, counts, ambiguous, rescued, finished_at, reason, detail, provider_id)
    AS (SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                             $7::bigint[], $8::bigint[], $9::text[], $10::text[], $11::text[]))
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
  AND message.state IN (0, 1, 2, 3, 4) AND message.state + 0 = 3
