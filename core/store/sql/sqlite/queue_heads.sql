-- When the longest due message of each channel became due: by priority, of which there are 256 at most, the first in
-- the index. ?1: [channel, …]
WITH RECURSIVE p (channel, priority) AS (
    SELECT j.value, (SELECT max(priority) FROM message WHERE state = 1 AND channel_id = j.value)
    FROM json_each(?1) AS j
    UNION ALL
    SELECT p.channel, (SELECT max(m.priority) FROM message AS m
                       WHERE m.state = 1 AND m.channel_id = p.channel AND m.priority < p.priority)
    FROM p
    WHERE p.priority IS NOT NULL
)
SELECT json_group_array(json_array(channel, due_at))
FROM (
    SELECT channel, min((SELECT min(m.due_at) FROM message AS m
                         WHERE m.state = 1 AND m.channel_id = p.channel AND m.priority = p.priority)) AS due_at
    FROM p
    WHERE priority IS NOT NULL
    GROUP BY channel
)
