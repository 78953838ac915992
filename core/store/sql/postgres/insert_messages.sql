-- Unlike SQLite's with ids, bodies and keys: it does in one round trip what insert_messages.sql, insert_bodies.sql and
-- insert_keys.sql do there, and all of a transaction that does nothing else. It answers in the order of the rows with the id
-- of each, or null where its key was taken: that message is not taken in.
-- A key whose time is over may be taken again before it is removed. Keys are written in their order: two nodes do not wait for
-- each other. $15, behind the rows: now  $16: under which number the messages are counted; null if that is done elsewhere
WITH new (id, channel_id, template_id, recipient, state, priority, due_at, expires_at, run_id, created_at, data, trace,
          key, body_hash, key_expires_at)
    AS MATERIALIZED (
    SELECT nextval('message_id'), brought.*
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                $8::bigint[], $9::bigint[], $10::text[], $11::text[], $12::text[], $13::bigint[], $14::bigint[]) AS brought),
keyed AS (
    INSERT INTO idempotency (key, message_id, body_hash, expires_at)
    SELECT key, id, body_hash, key_expires_at
    FROM new
    WHERE key IS NOT NULL
    ORDER BY key
    ON CONFLICT (key) DO UPDATE
    SET message_id = excluded.message_id, body_hash = excluded.body_hash, expires_at = excluded.expires_at
    WHERE idempotency.expires_at <= $15
    RETURNING message_id
),
taken_in AS (
    INSERT INTO message_hot (id, channel_id, template_id, recipient, state, priority, due_at, expires_at, run_id,
                             created_at, data, trace)
    SELECT id, channel_id, template_id, recipient, state, priority, due_at, expires_at, run_id, created_at, data, trace
    FROM new
    WHERE key IS NULL OR id IN (SELECT message_id FROM keyed)
    RETURNING id, channel_id, state
),
counted AS (
    INSERT INTO tally (node_id, channel_id, state, count)
    SELECT $16, channel_id, state, count(*)
    FROM taken_in
    WHERE $16 IS NOT NULL
    GROUP BY channel_id, state
    ORDER BY channel_id, state
    ON CONFLICT (node_id, channel_id, state) DO UPDATE SET count = tally.count + excluded.count
)
SELECT json_agg(CASE WHEN key IS NULL OR id IN (SELECT message_id FROM keyed) THEN id END ORDER BY id)::text FROM new
