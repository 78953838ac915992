-- Unlike SQLite's with their bodies, which stand in the same row, and with their keys: it does in one round trip what
-- insert_messages.sql, insert_bodies.sql and insert_keys.sql do there. It answers with how many keys it wrote.
-- A message begins on its way: there is no need to ask for each in which table.
-- A key whose time is over may be taken again before it is removed. One whose time is not over is never taken: another
-- node may have taken it since find_keys.sql, or nobody looked, and then fewer are written than there are. In the order of
-- keys: two nodes do not wait for each other. $17, behind the rows: now
WITH new (id, channel_id, template_id, recipient, state, priority, due_at, expires_at, run_id, created_at, data, trace,
          key, message_id, body_hash, key_expires_at)
    AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[],
                         $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::text[], $12::text[],
                         $13::text[], $14::bigint[], $15::bigint[], $16::bigint[])),
taken_in AS (
    INSERT INTO message_hot (id, channel_id, template_id, recipient, state, priority, due_at, expires_at, run_id,
                             created_at, data, trace)
    SELECT id, channel_id, template_id, recipient, state, priority, due_at, expires_at, run_id, created_at, data, trace
    FROM new
),
keyed AS (
    INSERT INTO idempotency (key, message_id, body_hash, expires_at)
    SELECT key, message_id, body_hash, key_expires_at
    FROM new
    WHERE key IS NOT NULL
    ORDER BY key
    ON CONFLICT (key) DO UPDATE
    SET message_id = excluded.message_id, body_hash = excluded.body_hash, expires_at = excluded.expires_at
    WHERE idempotency.expires_at <= $17
    RETURNING 1
)
SELECT count(*) FROM keyed
