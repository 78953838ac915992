-- The provider counts these itself and says that none is left: what the ledger still holds of the same kind for the
-- same user is worth nothing. Those bound to a message on its way are settled with it.
-- A grant that came after the send went out was not counted by that answer: it stays.
-- $1: [[message id, when the attempt began], …], whose credentials are bound still
-- Unlike SQLite's it locks them first, in the order of their ids: other nodes may be choosing among them. OFFSET 0 has each
-- looked up in its index: a join would be begun with the whole free ledger. `+ 0` as in claim.sql.
WITH j AS MATERIALIZED (
    SELECT (value ->> 0)::bigint AS message_id, (value ->> 1)::bigint AS began FROM json_array_elements($1::json)
),
sister AS MATERIALIZED (
    SELECT s.id
    FROM j
    CROSS JOIN LATERAL (
        SELECT c.recipient, c.app, c.source, c.scope FROM credential AS c WHERE c.bound_to = j.message_id OFFSET 0
    ) AS mine
    CROSS JOIN LATERAL (
        SELECT c.id
        FROM credential AS c
        WHERE c.recipient = mine.recipient AND c.app = mine.app AND c.source = mine.source
          AND c.scope IS NOT DISTINCT FROM mine.scope
          AND c.bound_to IS NULL AND c.uses_left > 0 AND c.created_at <= j.began
        OFFSET 0
    ) AS s
),
held AS MATERIALIZED (
    SELECT id
    FROM credential
    WHERE id = ANY (ARRAY(SELECT id FROM sister)) AND bound_to IS NULL AND uses_left + 0 > 0
    ORDER BY id
    FOR UPDATE
)
UPDATE credential
SET uses_left = 0
WHERE id = ANY (ARRAY(SELECT id FROM held))
