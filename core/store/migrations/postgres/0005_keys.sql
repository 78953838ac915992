-- Takes in messages some of which have an idempotency key: the keys, the messages, the counts. It answers in the order of the
-- rows with the id of each, [id, …], or null where its key was taken: that message is not taken in.
--
-- As a rule no key was ever met, and then each is written as it is. Only if one was, it is looked at each whether it is taken:
-- to ask the index before every single one is four tenths of what it takes to write it. One statement with all of it as parts
-- had to keep the list, and to look every row up in what came of its keys: it took a quarter longer.
--
-- A key whose time is over may be taken again before it is removed. Keys are written in their order: two nodes do not wait for
-- each other.
--
-- The lists are the columns of insert_unkeyed_messages.sql, then each message's key or null, the fingerprint of its request, and
-- until when the key is taken. `counted_under`: under which number the messages are counted; null if that is done elsewhere.
CREATE FUNCTION tidings_accept(
    channels bigint[], templates bigint[], recipients text[], states bigint[], priorities bigint[], due_times bigint[],
    ends bigint[], runs bigint[], created bigint[], bodies text[], traces text[],
    keys text[], hashes bigint[], key_ends bigint[], now_ms bigint, counted_under bigint
)
RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    ids bigint[] := ARRAY(SELECT nextval('message_id') FROM generate_series(1, cardinality(channels)));
BEGIN
    BEGIN
        INSERT INTO idempotency (key, message_id, body_hash, expires_at)
        SELECT k.key, k.id, k.hash, k.expires_at
        FROM unnest(keys, ids, hashes, key_ends) AS k (key, id, hash, expires_at)
        WHERE k.key IS NOT NULL
        ORDER BY k.key;
    EXCEPTION WHEN unique_violation THEN
        WITH new AS MATERIALIZED (
            SELECT *
            FROM unnest(keys, ids, hashes, key_ends) WITH ORDINALITY AS k (key, id, hash, expires_at, turn)
        ),
        free AS (
            INSERT INTO idempotency (key, message_id, body_hash, expires_at)
            SELECT n.key, n.id, n.hash, n.expires_at
            FROM new AS n
            WHERE n.key IS NOT NULL
            ORDER BY n.key
            ON CONFLICT (key) DO UPDATE
            SET message_id = excluded.message_id, body_hash = excluded.body_hash, expires_at = excluded.expires_at
            WHERE idempotency.expires_at <= now_ms
            RETURNING message_id
        )
        SELECT array_agg(CASE WHEN n.key IS NULL OR f.message_id IS NOT NULL THEN n.id END ORDER BY n.turn)
        INTO ids
        FROM new AS n
        LEFT JOIN free AS f ON f.message_id = n.id;
    END;

    INSERT INTO message_hot (id, channel_id, template_id, recipient, state, priority, due_at, expires_at, run_id,
                             created_at, data, trace)
    SELECT m.*
    FROM unnest(ids, channels, templates, recipients, states, priorities, due_times, ends, runs, created, bodies, traces)
        AS m (id)
    WHERE m.id IS NOT NULL;

    IF counted_under IS NOT NULL THEN
        INSERT INTO tally (node_id, channel_id, state, count)
        SELECT counted_under, m.channel, m.state, count(*)
        FROM unnest(ids, channels, states) AS m (id, channel, state)
        WHERE m.id IS NOT NULL
        GROUP BY m.channel, m.state
        ORDER BY m.channel, m.state
        ON CONFLICT (node_id, channel_id, state) DO UPDATE SET count = tally.count + excluded.count;
    END IF;
    RETURN array_to_json(ids)::text;
END
$$;
