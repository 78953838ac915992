-- Forgets nodes whose lease is long over, once nothing of theirs is on its way, and answers with their numbers. What
-- they counted is counted by node 0 from then on, which is nobody, and so is what their intakes counted: below zero, sixteen
-- numbers for each node. Whatever is counted for a node that is not there was written behind its end.
-- $1: over for how long, ms
WITH gone AS (
    DELETE FROM node
    WHERE id <> 0 AND lease_until + $1 <= tidings_now()
      AND NOT EXISTS (SELECT FROM message AS m WHERE m.state = 3 AND m.node_id = node.id)
      AND NOT EXISTS (SELECT FROM run AS r WHERE r.state = 0 AND r.node_id = node.id)
    RETURNING id
),
counted AS (
    DELETE FROM tally
    USING (SELECT DISTINCT node_id, CASE WHEN node_id < 0 THEN -node_id / 16 ELSE node_id END AS node FROM tally) AS by
    WHERE tally.node_id = by.node_id AND by.node <> 0
      AND (by.node IN (SELECT id FROM gone) OR NOT EXISTS (SELECT FROM node WHERE node.id = by.node))
    RETURNING channel_id, state, count
),
kept AS (
    INSERT INTO tally (node_id, channel_id, state, count)
    SELECT 0, channel_id, state, sum(count)::bigint FROM counted GROUP BY channel_id, state ORDER BY channel_id, state
    ON CONFLICT (node_id, channel_id, state) DO UPDATE SET count = tally.count + excluded.count
)
SELECT id FROM gone
