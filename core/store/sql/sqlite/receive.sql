-- What receipts say of messages whose outcome is known. With a receipt nothing is in doubt any more.
-- ?1: [[id, from, to, reason, detail], …]  ?2: now
UPDATE message
SET state       = j.value ->> 2,
    ambiguous   = 0,
    finished_at = ?2,
    reason      = j.value ->> 3,
    detail      = j.value ->> 4
FROM json_each(?1) AS j
WHERE message.id = j.value ->> 0 AND message.state = j.value ->> 1
