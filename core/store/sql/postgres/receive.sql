-- What receipts say of messages whose outcome is known. With a receipt nothing is in doubt any more.
-- $1: [[id, from, to, reason, detail], …]  $2: now
-- The states that a receipt moves stand here as literals, so that the other tables of messages are not looked into; and
-- the ids once more as an array, so that in each of these they are looked up, and nothing is joined as a whole.
WITH j AS MATERIALIZED (
    SELECT (value ->> 0)::bigint AS id, (value ->> 1)::bigint AS was, (value ->> 2)::bigint AS becomes,
           value ->> 3 AS reason, value ->> 4 AS detail
    FROM json_array_elements($1::json)
)
UPDATE message
SET state       = j.becomes,
    ambiguous   = 0,
    finished_at = $2,
    reason      = j.reason,
    detail      = j.detail
FROM j
WHERE message.id = j.id AND message.state = j.was AND message.state IN (5, 8)
  AND message.id = ANY (ARRAY(SELECT id FROM j))
