-- $1: [id, …]
DELETE FROM message WHERE id = ANY (ARRAY(SELECT value::bigint FROM json_array_elements_text($1::json)))
