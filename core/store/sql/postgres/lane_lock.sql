-- Locks channels until the transaction ends, and answers when the rate of each lets the next one go and how many of it are on
-- their way, over all nodes: rates and bounds hold for all of them together. $1: [channel, …]
-- In the order of the channels, so that two nodes do not wait for each other: each is asked for behind the one before.
SELECT json_agg(json_build_array(c.id, lane.arrival_us, lane.in_flight))::text
FROM (SELECT DISTINCT value::bigint AS id FROM json_array_elements_text($1::json) ORDER BY id OFFSET 0) AS c
CROSS JOIN LATERAL tidings_lane(c.id) AS lane
