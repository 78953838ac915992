-- How many messages of each channel are in each state, over all nodes.
SELECT channel_id, state, sum(count)::bigint AS count FROM tally GROUP BY channel_id, state
