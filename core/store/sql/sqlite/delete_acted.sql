-- ?1: [message_id, …]
DELETE FROM acted WHERE message_id IN (SELECT value FROM json_each(?1))
