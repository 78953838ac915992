-- The free permits of these recipients, at most so many: if there are no more, these are all.
-- ?1: app  ?2: [recipient, …]  ?3: {source: usable only if it ends after, …}  ?4: at most
WITH s AS MATERIALIZED (SELECT key AS source, value AS ends_after FROM json_each(?3))
SELECT json_group_array(json_array(id, recipient, source, scope, value, expires_at, taken_at))
FROM (
    SELECT c.id, c.recipient, c.source, c.scope, c.value, c.expires_at, c.created_at AS taken_at
    FROM json_each(?2) AS r
    CROSS JOIN s
    CROSS JOIN credential AS c INDEXED BY credential_free
      ON c.recipient = r.value AND c.app = ?1 AND c.source = s.source
     AND (c.expires_at IS NULL OR c.expires_at > s.ends_after)
    WHERE c.bound_to IS NULL AND c.uses_left > 0
    LIMIT ?4 + 0
)
