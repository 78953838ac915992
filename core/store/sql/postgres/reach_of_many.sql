-- The free permits of these recipients for one app, the soonest to end first of each.
-- $1: [recipient, …]  $2: app  $3: at most
SELECT coalesce(json_agg(json_build_array(recipient, app, source, scope, uses_left, expires_at)), '[]')::text
FROM (
    SELECT c.recipient, c.app, c.source, c.scope, c.uses_left, c.expires_at
    FROM json_array_elements_text($1::json) AS j (recipient)
    CROSS JOIN LATERAL (
        SELECT c.recipient, c.app, c.source, c.scope, c.uses_left, c.expires_at
        FROM credential AS c
        WHERE c.recipient = j.recipient AND c.app = $2 AND c.bound_to IS NULL AND c.uses_left > 0
        ORDER BY c.recipient, c.app, c.source, c.expires_at NULLS FIRST
    ) AS c
    LIMIT $3
) AS free
