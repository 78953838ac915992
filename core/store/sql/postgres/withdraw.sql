-- What its recipient takes back is worth nothing: the permits of that kind that were given by then and are bound to no
-- message. Those on their way are settled with it. One that was given after stays, however late this is told.
-- $1: [[recipient, app, source, scope or null for any, identity or null for any, given until], …]
-- Unlike SQLite's it locks them first, in the order of their ids: other nodes may be choosing among them. OFFSET 0 and
-- `+ 0` as in drop_sisters.sql.
WITH given AS MATERIALIZED (
    SELECT f.id
    FROM json_array_elements($1::json) AS j
    CROSS JOIN LATERAL (
        SELECT c.id
        FROM credential AS c
        WHERE c.recipient = j.value ->> 0 AND c.app = j.value ->> 1 AND c.source = j.value ->> 2
          AND c.bound_to IS NULL AND c.uses_left > 0
          AND (j.value ->> 3 IS NULL OR c.scope = j.value ->> 3)
          AND (j.value ->> 4 IS NULL OR c.identity = j.value ->> 4)
          AND coalesce(c.made_at, c.created_at) <= (j.value ->> 5)::bigint
        OFFSET 0
    ) AS f
),
held AS MATERIALIZED (
    SELECT id
    FROM credential
    WHERE id = ANY (ARRAY(SELECT id FROM given)) AND bound_to IS NULL AND uses_left + 0 > 0
    ORDER BY id
    FOR UPDATE
)
UPDATE credential
SET uses_left = 0
WHERE id = ANY (ARRAY(SELECT id FROM held))
