-- The free permits of these recipients for one app, the soonest to end first of each.
-- ?1: [recipient, …]  ?2: app  ?3: at most
SELECT json_group_array(json_array(recipient, app, source, scope, uses_left, expires_at))
FROM (
    SELECT c.recipient, c.app, c.source, c.scope, c.uses_left, c.expires_at
    FROM json_each(?1) AS j
    CROSS JOIN credential AS c INDEXED BY credential_free ON c.recipient = j.value AND c.app = ?2
    WHERE c.bound_to IS NULL AND c.uses_left > 0
    LIMIT ?3 + 0
)
