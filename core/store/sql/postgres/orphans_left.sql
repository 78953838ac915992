-- What nodes that are gone left in the middle of an attempt in other channels than these, by channel.
-- $1: [channel, …]
SELECT channel.name, count(*)
FROM message AS m
JOIN channel ON channel.id = m.channel_id
WHERE m.state = 3
  AND m.channel_id <> ALL (ARRAY(SELECT value::bigint FROM json_array_elements_text($1::json)))
  AND (m.node_id IS NULL OR m.node_id <> ALL (ARRAY(SELECT id FROM node WHERE lease_until > tidings_now())))
GROUP BY channel.name
ORDER BY channel.name
