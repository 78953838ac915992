-- Ends what late.sql found. $1: [id, …]  $2: now
-- `+ 0` as in claim.sql.
UPDATE message
SET state = 9, finished_at = $2, reason = 'expired', detail = 'its time ran out before it could be sent'
WHERE state IN (0, 1, 2, 3, 4) AND state + 0 <> 3 AND id = ANY (ARRAY(SELECT value::bigint FROM json_array_elements_text($1::json)))
