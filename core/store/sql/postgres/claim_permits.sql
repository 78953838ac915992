-- The free permits of these recipients, at most so many: if there are no more, these are all.
-- $1: app  $2: [recipient, …]  $3: {source: usable only if it ends after, …}  $4: at most
-- OFFSET 0 has each recipient looked up in the index, whatever the planner thinks of the length of a list.
WITH s AS MATERIALIZED (SELECT key AS source, value::bigint AS ends_after FROM json_each_text($3::json))
SELECT coalesce(json_agg(json_build_array(id, recipient, source, scope, value, expires_at, created_at)), '[]')::text
FROM (
    SELECT f.*
    FROM json_array_elements_text($2::json) AS r (recipient)
    CROSS JOIN s
    CROSS JOIN LATERAL (
        SELECT c.id, c.recipient, c.source, c.scope, c.value, c.expires_at, c.created_at
        FROM credential AS c
        WHERE c.recipient = r.recipient AND c.app = $1 AND c.source = s.source
          AND (c.expires_at IS NULL OR c.expires_at > s.ends_after)
          AND c.bound_to IS NULL AND c.uses_left > 0
        OFFSET 0
    ) AS f
    LIMIT $4
) AS few
