-- A credential came, or came back: whoever waits for one of these recipients is asked again. Who then finds none
-- goes back to waiting at the claim; matching is one place's business.
-- ?1: [recipient, …]
UPDATE message
SET state = 1
WHERE state = 2 AND recipient IN (SELECT value FROM json_each(?1))
RETURNING channel_id
