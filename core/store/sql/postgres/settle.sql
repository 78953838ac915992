-- Writes what the settlements say, and the fate of the credentials that were bound to the attempts. The fence is here:
-- an outcome that carries an older generation, or meets a message that is no longer being sent, changes nothing, touches
-- no credential and is not counted. The row goes to the table of its new state. Fates: 1 give back, 2 spend, 3 drop; NULL
-- stays bound.
-- Unlike SQLite it does in one round trip what settle.sql, recipients_left.sql and settle_credentials.sql do there. It
-- answers with how many outcomes were written, and with whose credentials are free again.
-- `+ 0` keeps the planner from walking the index of what is being sent: it never knows how many those are, thinks of
-- one, and compares each with each. What is left to it is to look up every id.
WITH j (id, generation, state, due_at, counts, ambiguous, rescued, finished_at, reason, detail, provider_id, fate)
    AS (SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                             $7::bigint[], $8::bigint[], $9::text[], $10::text[], $11::text[], $12::bigint[])),
settled AS (
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
    RETURNING message.id, j.fate
),
let_go AS (
    UPDATE credential
    SET bound_to  = NULL,
        uses_left = CASE s.fate WHEN 2 THEN credential.uses_left - 1 WHEN 3 THEN 0 ELSE credential.uses_left END
    FROM settled AS s
    WHERE credential.bound_to = CASE WHEN s.fate IS NOT NULL THEN s.id END
    RETURNING credential.recipient, credential.uses_left
)
SELECT (SELECT count(*) FROM settled),
       (SELECT coalesce(json_agg(recipient) FILTER (WHERE uses_left > 0), '[]')::text FROM let_go)
