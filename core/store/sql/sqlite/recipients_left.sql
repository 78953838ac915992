-- Whose credentials, bound to these messages, will be free again once the messages let go of them.
-- ?1: [[message id, fate], …], fates as in settle_credentials.sql
SELECT json_group_array(c.recipient)
FROM json_each(?1) AS j
JOIN credential AS c ON c.bound_to = j.value ->> 0
WHERE c.uses_left > CASE j.value ->> 1 WHEN 1 THEN 0 WHEN 2 THEN 1 ELSE c.uses_left END
