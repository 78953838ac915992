-- The fate of the credentials that were bound to the settled attempts. Only settlements that passed the fence of
-- settle.sql come here. Fates: 1 give back, 2 spend, 3 drop; what is kept does not come.
WITH j (message_id, fate) AS (SELECT * FROM unnest($1::bigint[], $2::bigint[]))
UPDATE credential
SET bound_to  = NULL,
    uses_left = CASE j.fate WHEN 2 THEN credential.uses_left - 1 WHEN 3 THEN 0 ELSE credential.uses_left END
FROM j
WHERE credential.bound_to = j.message_id
