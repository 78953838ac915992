-- Many messages at once, without their keys, as a stream of rows: what insert_messages.sql does for a few, for less of the
-- server's time. A message begins on its way: there is no need to ask for each in which table.
COPY message_hot (id, channel_id, template_id, recipient, state, priority, due_at, expires_at, run_id, created_at, data, trace)
FROM STDIN (FORMAT binary)
