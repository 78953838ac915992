-- Whose credentials, bound to these messages, will be free again once the messages let go of them.
-- $1: [[message id, fate], …], fates as in settle_credentials.sql
SELECT coalesce(json_agg(c.recipient), '[]')::text
FROM (
    SELECT (value ->> 0)::bigint AS message_id, (value ->> 1)::bigint AS fate FROM json_array_elements($1::json)
) AS j
JOIN credential AS c ON c.bound_to = j.message_id
WHERE c.uses_left > CASE j.fate WHEN 1 THEN 0 WHEN 2 THEN 1 ELSE c.uses_left END
