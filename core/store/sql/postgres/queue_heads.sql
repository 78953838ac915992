-- When the longest due message of each channel became due: by priority, of which there are 256 at most, the first in
-- the index. $1: [channel, …]
WITH RECURSIVE p (channel, priority) AS (
    SELECT j.value::bigint, (SELECT m.priority FROM message AS m
                             WHERE m.state = 1 AND m.channel_id = j.value::bigint ORDER BY m.priority DESC LIMIT 1)
    FROM json_array_elements_text($1::json) AS j
    UNION ALL
    SELECT p.channel, (SELECT m.priority FROM message AS m
                       WHERE m.state = 1 AND m.channel_id = p.channel AND m.priority < p.priority
                       ORDER BY m.priority DESC LIMIT 1)
    FROM p
    WHERE p.priority IS NOT NULL
)
SELECT coalesce(json_agg(json_build_array(channel, due_at)), '[]')::text
FROM (
    SELECT channel, min((SELECT m.due_at FROM message AS m
                         WHERE m.state = 1 AND m.channel_id = p.channel AND m.priority = p.priority
                         ORDER BY m.due_at LIMIT 1)) AS due_at
    FROM p
    WHERE priority IS NOT NULL
    GROUP BY channel
) AS heads
WHERE due_at IS NOT NULL
