-- The fate of the credentials that were bound to the settled attempts. Only settlements that passed the fence of
-- settle.sql come here. Fates: 0 keep, 1 give back, 2 spend, 3 drop.
-- ?1: [[message id, fate], …]
UPDATE credential
SET bound_to  = NULL,
    uses_left = CASE j.value ->> 1 WHEN 2 THEN uses_left - 1 WHEN 3 THEN 0 ELSE uses_left END
FROM json_each(?1) AS j
WHERE credential.bound_to = j.value ->> 0
  AND j.value ->> 1 > 0
RETURNING credential.recipient, credential.uses_left
