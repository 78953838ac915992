-- Those for whom nothing fits wait. $1: [id, …]
-- `+ 0` as in claim.sql.
UPDATE message_hot
SET state = 2, reason = 'no_credential', detail = 'waits for a usable credential of this recipient'
WHERE state + 0 = 1 AND id = ANY (ARRAY(SELECT value::bigint FROM json_array_elements_text($1::json)))
