-- What its recipient takes back is worth nothing: the permits of that kind that were given by then and are bound to no
-- message. Those on their way are settled with it. One that was given after stays, however late this is told.
-- $1: [[recipient, app, source, scope or null for any, identity or null for any, given until], …]
-- Unlike SQLite's it locks them first, in the order of their ids: other nodes may be choosing among them.
WITH given AS MATERIALIZED (
    SELECT c.id
    FROM json_array_elements($1::json) AS j
    JOIN credential AS c ON c.recipient = j.value ->> 0 AND c.app = j.value ->> 1 AND c.source = j.value ->> 2
    WHERE c.bound_to IS NULL AND c.uses_left > 0
      AND (j.value ->> 3 IS NULL OR c.scope = j.value ->> 3)
      AND (j.value ->> 4 IS NULL OR c.identity = j.value ->> 4)
      AND coalesce(c.made_at, c.created_at) <= (j.value ->> 5)::bigint
    ORDER BY c.id
    FOR UPDATE OF c
)
UPDATE credential
SET uses_left = 0
WHERE id = ANY (ARRAY(SELECT id FROM given))
