-- What insert_messages.sql does, of messages without keys: all of them are taken in, so that how many they are is known before,
-- and the list is not kept for a second statement.
-- $12, behind the rows: under which number they are counted  $13: [[channel, state, how many], …], none if that is done elsewhere
WITH taken_in AS (
    INSERT INTO message_hot (id, channel_id, template_id, recipient, state, priority, due_at, expires_at, run_id,
                             created_at, data, trace)
    SELECT nextval('message_id'), brought.*
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                $8::bigint[], $9::bigint[], $10::text[], $11::text[]) AS brought
    RETURNING id
),
counted AS (
    INSERT INTO tally (node_id, channel_id, state, count)
    SELECT $12, (value ->> 0)::bigint, (value ->> 1)::bigint, (value ->> 2)::bigint
    FROM jsonb_array_elements($13::jsonb)
    ORDER BY 2, 3
    ON CONFLICT (node_id, channel_id, state) DO UPDATE SET count = tally.count + excluded.count
)
SELECT json_agg(id ORDER BY id)::text FROM taken_in
