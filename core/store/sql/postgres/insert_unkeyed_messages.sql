-- What insert_messages.sql does, of messages without keys: the list is not kept for a second statement.
-- $12, behind the rows: under which number they are counted; null if that is done elsewhere
WITH taken_in AS (
    INSERT INTO message_hot (id, channel_id, template_id, recipient, state, priority, due_at, expires_at, run_id,
                             created_at, data, trace)
    SELECT nextval('message_id'), brought.*
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                $8::bigint[], $9::bigint[], $10::text[], $11::text[]) AS brought
    RETURNING id, channel_id, state
),
counted AS (
    INSERT INTO tally (node_id, channel_id, state, count)
    SELECT $12, channel_id, state, count(*)
    FROM taken_in
    WHERE $12 IS NOT NULL
    GROUP BY channel_id, state
    ORDER BY channel_id, state
    ON CONFLICT (node_id, channel_id, state) DO UPDATE SET count = tally.count + excluded.count
)
SELECT json_agg(id ORDER BY id)::text FROM taken_in
