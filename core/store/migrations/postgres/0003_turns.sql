-- A turn of the queue: outcomes, and the claims that they make room for, in one round trip and a transaction by themselves.
--
-- It does one after the other what settle.sql, insert_attempts.sql, lane_lock.sql, claim_next.sql, claim_permits.sql, claim.sql
-- and save_tally.sql do where something else goes with it, and locks in their order (shared/tick.rs). Several statements and
-- not one: each sees what is there when it begins, behind the locks of those before; and one statement of as many parts took a
-- fifth longer.
--
-- It claims as much as can be chosen without a look at the rest: of those that want a permit of one recipient the first, and
-- none that kept a permit, or waited for one. What it leaves stays queued, for the other way, and with it whatever wants a permit
-- of the same recipient behind it.
--
-- All or nothing: if an outcome came too late, somebody waits for a permit that came free, something is queued before the places
-- that may want a permit first, the lease is over, or another node was quicker with something that was chosen, it fails as what
-- cannot be serialized does, and the same is done the other way.
--
-- The lists are the columns of settle.sql, then when each attempt began and ended and what came of it, where that is a row of
-- its own. `moves`: [[channel, state, by how much the outcomes change that count], …]. `asks`: [[channel, at most, at most of all
-- nodes, how many are queued, [[priority, due at, id], …], app, {source: usable only if it ends after, …}, {template: scope, …}],
-- …], where the places are those behind which to go on, the highest priority first, and the app is null where no permit is needed.
--
-- `ahead`: when the first that is tried again is due, or runs out of time. `rooms`: [[channel, how many there was room for], …].
-- `taken`: [[channel, [a row as of claim_head.sql without a credential, …]], …], in no order. `bound`: [[[message, credential,
-- source, value, ends at, taken in at], …], …]. `passed`: [[channel, priority, due at, id], …], of each queue the first that was
-- looked at and left.
CREATE FUNCTION tidings_turn(
    ids bigint[], generations bigint[], states bigint[], due_times bigint[], tries bigint[], ambiguities bigint[],
    rescued bigint[], ends bigint[], words text[], notes text[], names text[], fates bigint[],
    begun bigint[], ended bigint[], outcomes text[],
    moves jsonb, asks jsonb, now_ms bigint, node_number bigint, claim_number bigint,
    OUT ahead bigint, OUT rooms text, OUT taken text, OUT bound text, OUT passed text
)
LANGUAGE plpgsql
AS $$
DECLARE
    ask record;
    behind record;
    head record;
    chosen record;
    claimed json;
    settled bigint;
    room bigint;
    missing bigint;
    written bigint;
    room_parts json[] := '{}';
    taken_parts json[] := '{}';
    bound_parts json[] := '{}';
    passed_parts json[] := '{}';
    counts jsonb := moves;
    freed text[];
    left_out text[] := '{}';
BEGIN
    IF cardinality(ids) > 0 THEN
        WITH j (id, generation, state, due_at, counts, ambiguous, rescued, finished_at, reason, detail, provider_id, fate)
            AS (SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)),
        over AS (
            UPDATE message AS m
            SET state       = j.state,
                due_at      = coalesce(j.due_at, m.due_at),
                attempts    = m.attempts + j.counts,
                ambiguous   = j.ambiguous,
                rescues     = m.rescues + j.rescued,
                finished_at = j.finished_at,
                reason      = j.reason,
                detail      = j.detail,
                provider_id = j.provider_id
            FROM j
            WHERE m.id = j.id AND m.generation = j.generation AND m.state IN (0, 1, 2, 3, 4) AND m.state + 0 = 3
            RETURNING m.id, m.state, m.due_at, m.expires_at, j.fate
        ),
        let_go AS (
            UPDATE credential AS c
            SET bound_to  = NULL,
                uses_left = CASE w.fate WHEN 2 THEN c.uses_left - 1 WHEN 3 THEN 0 ELSE c.uses_left END
            FROM over AS w
            WHERE c.bound_to = CASE WHEN w.fate IS NOT NULL THEN w.id END
            RETURNING c.recipient, c.uses_left
        )
        SELECT count(*),
               min(CASE WHEN w.state <= 4 THEN least(CASE w.state WHEN 0 THEN w.due_at END, w.expires_at) END),
               (SELECT array_agg(l.recipient) FROM let_go AS l WHERE l.uses_left > 0)
        INTO settled, ahead, freed
        FROM over AS w;
        IF settled <> cardinality(ids) THEN
            RAISE 'an outcome came too late' USING ERRCODE = 'serialization_failure';
        END IF;
        IF freed IS NOT NULL THEN
            -- As in ledger_lock.sql: from here on nobody begins to wait beside them.
            PERFORM pg_advisory_xact_lock(7408, parts.part)
            FROM (SELECT DISTINCT hashtext(f.recipient) & 255 AS part FROM unnest(freed) AS f (recipient) ORDER BY part) AS parts;
            IF EXISTS (SELECT FROM message AS m WHERE m.state = 2 AND m.recipient = ANY (freed)) THEN
                RAISE 'somebody is to be woken' USING ERRCODE = 'serialization_failure';
            END IF;
        END IF;
        IF cardinality(array_remove(outcomes, NULL)) > 0 THEN
            INSERT INTO attempt (message_id, generation, started_at, ended_at, outcome, detail)
            SELECT t.id, t.generation, t.started_at, t.ended_at, t.outcome, coalesce(t.detail, '')
            FROM unnest(ids, generations, begun, ended, outcomes, notes)
                AS t (id, generation, started_at, ended_at, outcome, detail)
            WHERE t.outcome IS NOT NULL
            ON CONFLICT DO NOTHING;
        END IF;
    END IF;

    -- All channels, in their order, before any of them claims.
    PERFORM FROM channel AS c
    WHERE c.id = ANY (ARRAY(SELECT (value ->> 0)::bigint FROM jsonb_array_elements(asks)))
    ORDER BY c.id
    FOR UPDATE;

    FOR ask IN
        SELECT (value ->> 0)::bigint AS channel, (value ->> 1)::bigint AS at_most, (value ->> 2)::bigint AS at_most_of_all,
               (value ->> 3)::bigint AS queued, value -> 4 AS places, value ->> 5 AS app, value -> 6 AS sources,
               value -> 7 AS scopes
        FROM jsonb_array_elements(asks)
    LOOP
        -- Another node may have paused or closed it, and has counted what it claimed. What ended here is not counted yet.
        CONTINUE WHEN NOT (
            SELECT c.paused_at IS NULL AND (c.closed_until IS NULL OR c.closed_until <= now_ms)
            FROM channel AS c
            WHERE c.id = ask.channel
        );
        SELECT greatest(0, least(ask.at_most, ask.at_most_of_all - coalesce(sum(sending.count), 0)))
        INTO room
        FROM (
            SELECT t.count FROM tally AS t WHERE t.channel_id = ask.channel AND t.state = 3
            UNION ALL
            SELECT (value ->> 2)::bigint
            FROM jsonb_array_elements(moves)
            WHERE (value ->> 0)::bigint = ask.channel AND (value ->> 1)::bigint = 3
        ) AS sending;
        room_parts := room_parts || json_build_array(ask.channel, room);
        missing := least(room, ask.queued);

        FOR behind IN
            SELECT (value ->> 0)::bigint AS priority, (value ->> 1)::bigint AS due_at, (value ->> 2)::bigint AS id
            FROM jsonb_array_elements(ask.places)
        LOOP
            EXIT WHEN room = 0;
            -- What was never claimed has kept nothing.
            WITH picked AS MATERIALIZED (
                SELECT m.ctid AS place, m.id, m.due_at, m.recipient, m.template_id, m.generation, m.reason
                FROM message_hot AS m
                WHERE m.state = 1 AND m.channel_id = ask.channel AND (m.expires_at IS NULL OR m.expires_at > now_ms)
                  AND m.priority = behind.priority AND (m.due_at, m.id) > (behind.due_at, behind.id)
                ORDER BY m.due_at, m.id
                LIMIT room
                FOR UPDATE OF m SKIP LOCKED
            )
            SELECT count(*) AS messages, array_agg(p.place) AS places, array_agg(p.id) AS ids,
                   array_agg(p.due_at) AS due_times, array_agg(p.recipient) AS recipients,
                   array_agg(p.template_id) AS templates,
                   array_agg(p.reason IS DISTINCT FROM 'no_credential' AND NOT EXISTS (
                       SELECT FROM credential AS c WHERE c.bound_to = CASE WHEN p.generation > 0 THEN p.id END OFFSET 0
                   )) AS are_plain
            INTO head
            FROM picked AS p;
            CONTINUE WHEN head.messages = 0;
            room := room - head.messages;
            missing := missing - head.messages;

            -- Which of them go, and with which permit. One that another node has locked is not waited for.
            IF ask.app IS NULL THEN
                SELECT array_agg(h.place) AS places, array_agg(h.id) AS messages
                INTO chosen
                FROM unnest(head.places, head.ids, head.are_plain) AS h (place, id, is_plain)
                WHERE h.is_plain;
            ELSE
                SELECT array_agg(h.place) AS places, array_agg(h.id) AS messages, array_agg(p.place) AS permits,
                       json_agg(json_build_array(h.id, p.id, p.source, p.value, p.expires_at, p.created_at)) AS shown
                INTO chosen
                FROM (
                    SELECT DISTINCT ON (u.recipient) u.*
                    FROM unnest(head.places, head.ids, head.recipients, head.templates, head.are_plain) WITH ORDINALITY
                        AS u (place, id, recipient, template, is_plain, turn)
                    ORDER BY u.recipient, u.turn
                ) AS h
                CROSS JOIN LATERAL (
                    SELECT c.ctid AS place, c.id, c.source, c.value, c.expires_at, c.created_at
                    FROM jsonb_each_text(ask.sources) AS s (source, ends_after)
                    JOIN credential AS c
                      ON c.recipient = h.recipient AND c.app = ask.app AND c.source = s.source
                     AND c.bound_to IS NULL AND c.uses_left > 0
                    WHERE (c.expires_at IS NULL OR c.expires_at > s.ends_after::bigint)
                      AND (c.scope IS NULL OR c.scope = coalesce(ask.scopes ->> h.template::text, ''))
                    ORDER BY c.expires_at NULLS LAST, c.id
                    LIMIT 1
                    FOR UPDATE OF c SKIP LOCKED
                ) AS p
                WHERE h.is_plain AND h.recipient <> ALL (left_out);
            END IF;
            IF coalesce(cardinality(chosen.messages), 0) < head.messages THEN
                passed_parts := passed_parts || (
                    SELECT json_build_array(ask.channel, behind.priority, h.due_at, h.id)
                    FROM unnest(head.due_times, head.ids) WITH ORDINALITY AS h (due_at, id, turn)
                    WHERE h.id NOT IN (SELECT unnest(chosen.messages))
                    ORDER BY h.turn
                    LIMIT 1
                );
                left_out := left_out || (
                    SELECT array_agg(DISTINCT h.recipient)
                    FROM unnest(head.recipients, head.ids) AS h (recipient, id)
                    WHERE h.id NOT IN (SELECT unnest(chosen.messages))
                );
            END IF;
            CONTINUE WHEN chosen.messages IS NULL;

            IF ask.app IS NOT NULL THEN
                UPDATE credential AS p
                SET bound_to = c.message
                FROM unnest(chosen.permits, chosen.messages) AS c (permit, message)
                WHERE p.ctid = c.permit AND p.bound_to IS NULL AND p.uses_left + 0 > 0;
                GET DIAGNOSTICS written = ROW_COUNT;
                IF written <> cardinality(chosen.messages) THEN
                    RAISE 'another node was quicker with a permit' USING ERRCODE = 'serialization_failure';
                END IF;
                bound_parts := bound_parts || chosen.shown;
            END IF;
            WITH sent AS (
                UPDATE message_hot AS m
                SET state        = 3,
                    generation   = m.generation + 1,
                    claimed_at   = now_ms,
                    node_id      = node_number,
                    claim        = claim_number,
                    first_try_at = CASE m.ambiguous WHEN 1 THEN m.first_try_at ELSE now_ms END
                WHERE m.ctid = ANY (chosen.places) AND m.state + 0 = 1
                  AND (SELECT n.lease_until > tidings_now() FROM node AS n WHERE n.id = node_number)
                RETURNING json_build_array(m.id, m.generation, m.template_id, m.recipient, m.attempts, m.rescues, m.ambiguous,
                                           m.first_try_at, m.expires_at, m.created_at, m.data, NULL, NULL, NULL, NULL, NULL,
                                           m.trace, 0, m.priority, m.due_at) AS shown
            )
            SELECT count(*), json_agg(s.shown) INTO written, claimed FROM sent AS s;
            IF written <> cardinality(chosen.messages) THEN
                RAISE 'another node was quicker, or the lease is over' USING ERRCODE = 'serialization_failure';
            END IF;
            taken_parts := taken_parts || json_build_array(ask.channel, claimed);
            counts := counts || jsonb_build_array(jsonb_build_array(ask.channel, 1, -written),
                                                  jsonb_build_array(ask.channel, 3, written));
        END LOOP;
        IF missing > 0 AND ask.app IS NOT NULL THEN
            RAISE 'more is queued than stands there' USING ERRCODE = 'serialization_failure';
        END IF;
    END LOOP;

    INSERT INTO tally (node_id, channel_id, state, count)
    SELECT node_number, v.channel, v.state, sum(v.change)
    FROM (
        SELECT (value ->> 0)::bigint AS channel, (value ->> 1)::bigint AS state, (value ->> 2)::bigint AS change
        FROM jsonb_array_elements(counts)
    ) AS v
    GROUP BY v.channel, v.state
    HAVING sum(v.change) <> 0
    ORDER BY v.channel, v.state
    ON CONFLICT (node_id, channel_id, state) DO UPDATE SET count = tally.count + excluded.count;

    rooms := array_to_json(room_parts)::text;
    taken := array_to_json(taken_parts)::text;
    bound := array_to_json(bound_parts)::text;
    passed := array_to_json(passed_parts)::text;
END
$$;
