-- $1: [id of the run, …]
DELETE FROM run_log WHERE run_id = ANY (ARRAY(SELECT value::bigint FROM json_array_elements_text($1::json)))
