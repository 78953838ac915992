-- What its recipient takes back is worth nothing: the permits of that kind that were given by then and are bound to no
-- message. Those on their way are settled with it. One that was given after stays, however late this is told.
-- ?1: [[recipient, app, source, scope or null for any, identity or null for any, given until], …]
UPDATE credential
SET uses_left = 0
WHERE id IN (
    SELECT given.id
    FROM json_each(?1) AS j
    JOIN credential AS given
      ON given.recipient = j.value ->> 0 AND given.app = j.value ->> 1 AND given.source = j.value ->> 2
    WHERE given.bound_to IS NULL AND given.uses_left > 0
      AND (j.value ->> 3 IS NULL OR given.scope = j.value ->> 3)
      AND (j.value ->> 4 IS NULL OR given.identity = j.value ->> 4)
      AND coalesce(given.made_at, given.created_at) <= j.value ->> 5
)
