-- Notices that were told, or are given up. $1: [id, …]
DELETE FROM notice WHERE id = ANY (ARRAY(SELECT value::bigint FROM json_array_elements_text($1::json)))
