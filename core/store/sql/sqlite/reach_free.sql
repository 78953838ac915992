-- The free permits of one recipient, by app and source, the soonest to end first.
-- ?1: recipient  ?2: at most
SELECT json_group_array(json_array(recipient, app, source, scope, uses_left, expires_at))
FROM (
    SELECT recipient, app, source, scope, uses_left, expires_at
    FROM credential INDEXED BY credential_free
    WHERE recipient = ?1 AND bound_to IS NULL AND uses_left > 0
    ORDER BY recipient, app, source, expires_at
    LIMIT ?2 + 0
)
