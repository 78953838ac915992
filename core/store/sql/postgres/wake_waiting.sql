-- A credential came, or came back: whoever waits for one of these recipients is asked again. Who then finds none
-- goes back to waiting at the claim; matching is one place's business.
-- $1: [recipient, …]
-- Unlike SQLite's it steps over what another node has locked: that node may be waiting for what is locked here. It answers
-- with the channel of each that was woken, and with the recipient of each that was not: whether that still waits is known
-- when the other node has ended. `+ 0` as in claim.sql.
WITH waiting AS MATERIALIZED (
    SELECT id, recipient
    FROM message
    WHERE state = 2 AND recipient = ANY (ARRAY(SELECT json_array_elements_text($1::json)))
),
held AS MATERIALIZED (
    SELECT id
    FROM message
    WHERE state = 2 AND recipient = ANY (ARRAY(SELECT json_array_elements_text($1::json)))
    FOR UPDATE SKIP LOCKED
),
woken AS (
    UPDATE message_hot
    SET state = 1
    WHERE state + 0 = 2 AND id = ANY (ARRAY(SELECT id FROM held))
    RETURNING channel_id
)
SELECT channel_id, NULL AS recipient FROM woken
UNION ALL
SELECT NULL, recipient FROM waiting WHERE id NOT IN (SELECT id FROM held)
