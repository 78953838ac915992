-- ?1: [message_id, …]
DELETE FROM moment WHERE message_id IN (SELECT value FROM json_each(?1))
