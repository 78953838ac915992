-- Once, at the start: config may have made a credential usable that was not. Who still finds none goes back to waiting
-- at the claim.
-- Unlike SQLite's it locks them first, in the order of their ids: two nodes may wake at once. `+ 0` as in claim.sql.
-- OFFSET 0 has the permits of each who waits looked up: otherwise it would walk the whole free ledger.
WITH woken AS MATERIALIZED (
    SELECT id
    FROM message AS m
    WHERE state = 2
      AND EXISTS (
          SELECT FROM credential AS c
          WHERE c.recipient = m.recipient AND c.bound_to IS NULL AND c.uses_left > 0
          OFFSET 0
      )
    ORDER BY id
    FOR UPDATE
)
UPDATE message_hot
SET state = 1
WHERE state + 0 = 2 AND id = ANY (ARRAY(SELECT id FROM woken))
RETURNING channel_id
