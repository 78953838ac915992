-- $1: [message_id, …]
DELETE FROM moment WHERE message_id = ANY (ARRAY(SELECT value::bigint FROM json_array_elements_text($1::json)))
