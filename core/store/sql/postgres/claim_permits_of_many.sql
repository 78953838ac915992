-- The free permits of recipients who have many: of each kind as many as the neediest can use, soonest to end first.
-- $1: app  $2: [recipient, …]  $3: {source: usable only if it ends after, …}  $4: at most, for each kind
-- Unlike SQLite's it locks them, after they are ranked, and steps over what another node has locked: no claim waits for a
-- permit. It says of each whether it is free: what another node has just bound, or is about to, may be or not, and the next
-- of its kind is not looked for.
WITH s AS MATERIALIZED (SELECT key AS source, value::bigint AS ends_after FROM json_each_text($3::json)),
ranked AS MATERIALIZED (
    SELECT f.*,
           row_number() OVER (
               PARTITION BY f.recipient, f.source, f.scope ORDER BY f.expires_at NULLS LAST, f.id
           ) AS turn
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
),
held AS MATERIALIZED (
    SELECT c.id
    FROM credential AS c
    WHERE c.id = ANY (ARRAY(SELECT id FROM ranked WHERE turn <= $4)) AND c.bound_to IS NULL AND c.uses_left + 0 > 0
    FOR UPDATE OF c SKIP LOCKED
)
SELECT coalesce(json_agg(json_build_array(id, recipient, source, scope, value, expires_at, created_at,
                                          id IN (SELECT id FROM held))), '[]')::text
FROM ranked
WHERE turn <= $4
