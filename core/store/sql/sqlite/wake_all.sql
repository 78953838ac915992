-- Once, at the start: config may have made a credential usable that was not. Who still finds none goes back to waiting
-- at the claim.
UPDATE message
SET state = 1
WHERE state = 2
  AND EXISTS (
      SELECT 1 FROM credential AS c
      WHERE c.recipient = message.recipient AND c.bound_to IS NULL AND c.uses_left > 0
  )
RETURNING channel_id
