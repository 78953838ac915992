-- Undoes the claims of transactions of which their node heard no end: nothing of them was sent. The messages go back to the
-- queue with what was bound to them, and the counts with them. Answers with how many there were.
-- $1: the node  $2: [number of a transaction, …]
WITH released AS (
    UPDATE message
    SET state = 1, generation = generation + 1
    WHERE state = 3 AND node_id = $1 AND claim = ANY (ARRAY(SELECT value::bigint FROM json_array_elements_text($2::json)))
    RETURNING channel_id
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
SELECT count(*) FROM released
