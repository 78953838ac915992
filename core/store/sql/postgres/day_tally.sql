-- How many messages of each channel and state a day has that is to be dropped: they leave the counts.
-- {table}: the day's table, detached
SELECT channel_id, state, count(*) AS count FROM {table} GROUP BY channel_id, state
