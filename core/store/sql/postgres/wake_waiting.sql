-- A credential came, or came back: whoever waits for one of these recipients is asked again. Who then finds none
-- goes back to waiting at the claim; matching is one place's business.
-- $1: [recipient, …]
-- Unlike SQLite's it locks them first, in the order of their ids: two nodes may wake at once. `+ 0` as in claim.sql.
WITH woken AS MATERIALIZED (
    SELECT id
    FROM message
    WHERE state = 2 AND recipient = ANY (ARRAY(SELECT json_array_elements_text($1::json)))
    ORDER BY id
    FOR UPDATE
)
UPDATE message_hot
SET state = 1
WHERE state + 0 = 2 AND id = ANY (ARRAY(SELECT id FROM woken))
RETURNING channel_id
