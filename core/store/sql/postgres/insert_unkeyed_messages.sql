-- What insert_messages.sql does, of messages without keys: the list is not kept for a second statement.
INSERT INTO message_hot (id, channel_id, template_id, recipient, state, priority, due_at, expires_at, run_id, created_at,
                         data, trace)
SELECT *
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
            $9::bigint[], $10::bigint[], $11::text[], $12::text[])
