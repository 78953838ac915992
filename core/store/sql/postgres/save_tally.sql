-- Each node counts in rows of its own, and waits for nobody; its intakes in others, below zero. $4, behind the
-- rows: the node
WITH j (channel_id, state, change) AS (SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]))
INSERT INTO tally (node_id, channel_id, state, count)
SELECT $4, channel_id, state, change FROM j ORDER BY channel_id, state
ON CONFLICT (node_id, channel_id, state) DO UPDATE SET count = tally.count + excluded.count
