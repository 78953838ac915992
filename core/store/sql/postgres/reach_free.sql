-- The free permits of one recipient, by app and source, the soonest to end first.
-- $1: recipient  $2: at most
SELECT coalesce(json_agg(json_build_array(recipient, app, source, scope, uses_left, expires_at)), '[]')::text
FROM (
    SELECT recipient, app, source, scope, uses_left, expires_at
    FROM credential
    WHERE recipient = $1 AND bound_to IS NULL AND uses_left > 0
    ORDER BY recipient, app, source, expires_at NULLS FIRST
    LIMIT $2
) AS free
