-- ?1: as in insert_messages.sql
INSERT INTO body (message_id, data)
SELECT value ->> 0, value ->> 9
FROM json_each(?1)
