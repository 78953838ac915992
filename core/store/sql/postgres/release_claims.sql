-- Undoes the claims of transactions of which their node heard no end: nothing of them was sent. The messages go back to the
-- queue, and the counts with them. What was bound to a message goes back to the ledger: it was never used. What a message
-- had kept from a try before stays with it: that may have been. Answers with how many there were, and with whose credentials
-- are free again.
-- $1: the node  $2: [number of a transaction, …]
WITH released AS (
    UPDATE message
    SET state = 1, generation = generation + 1
    WHERE state = 3 AND node_id = $1 AND claim = ANY (ARRAY(SELECT value::bigint FROM json_array_elements_text($2::json)))
    RETURNING id, channel_id, ambiguous
),
let_go AS (
    UPDATE credential
    SET bound_to = NULL
    FROM released AS r
    WHERE credential.bound_to = CASE r.ambiguous WHEN 0 THEN r.id END
    RETURNING credential.recipient
),
counted AS (
    INSERT INTO tally (node_id, channel_id, state, count)
    SELECT $1, channel_id, state, sum(change)::bigint
    FROM released
    CROSS JOIN (VALUES (1, 1), (3, -1)) AS v (state, change)
    GROUP BY channel_id, state
    ORDER BY channel_id, state
    ON CONFLICT (node_id, channel_id, state) DO UPDATE SET count = tally.count + excluded.count
)
SELECT (SELECT count(*) FROM released), (SELECT coalesce(json_agg(recipient), '[]')::text FROM let_go)
