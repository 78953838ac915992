-- The provider counts these itself and says that none is left: what the ledger still holds of the same kind for the
-- same user is worth nothing. Those bound to a message on its way are settled with it.
-- A grant that came after the send went out was not counted by that answer: it stays.
-- $1: [[message id, when the attempt began], …], settled, but their credentials not yet
-- Unlike SQLite's it locks them first, in the order of their ids: other nodes may be choosing among them.
WITH j AS MATERIALIZED (
    SELECT (value ->> 0)::bigint AS message_id, (value ->> 1)::bigint AS began FROM json_array_elements($1::json)
),
sister AS MATERIALIZED (
    SELECT s.id
    FROM j
    JOIN credential AS mine ON mine.bound_to = j.message_id
    JOIN credential AS s
      ON s.recipient = mine.recipient AND s.app = mine.app AND s.source = mine.source
     AND s.scope IS NOT DISTINCT FROM mine.scope
    WHERE s.bound_to IS NULL AND s.uses_left > 0 AND s.created_at <= j.began
    ORDER BY s.id
    FOR UPDATE OF s
)
UPDATE credential
SET uses_left = 0
WHERE id = ANY (ARRAY(SELECT id FROM sister))
