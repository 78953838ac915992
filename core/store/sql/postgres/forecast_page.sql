-- A page of the free permits of everybody who may be told something, in the order of their recipients. The index alone
-- answers: the values are never read. $1: after this recipient  $2: now  $3: at most
SELECT coalesce(json_agg(json_build_array(recipient, app, source, scope, uses_left, expires_at)), '[]')::text
FROM (
    SELECT c.recipient, c.app, c.source, c.scope, c.uses_left, c.expires_at
    FROM credential AS c
    WHERE c.recipient > $1 AND c.bound_to IS NULL AND c.uses_left > 0
      AND NOT EXISTS (
          SELECT FROM suppression AS p
          WHERE p.app = c.app AND p.recipient = c.recipient AND (p.expires_at IS NULL OR p.expires_at > $2)
      )
    ORDER BY c.recipient, c.app, c.source, c.expires_at NULLS FIRST
    LIMIT $3
) AS page
