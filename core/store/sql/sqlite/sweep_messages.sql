-- A slice of the messages from the oldest on: how many were looked at, the last of them, when the youngest was accepted,
-- and which leave. What was accepted in a future that the clock has left says nothing of the others. ?1: after  ?2: at most  ?3: what is done leaves if it ended before  ?4: what failed, before
-- ?5: now
SELECT json_array(
    count(*), max(id), max(created_at) FILTER (WHERE created_at <= ?5), json_group_array(json_array(id, channel_id, state)) FILTER (WHERE leaves)
)
FROM (
    SELECT id, channel_id, state, created_at,
           CASE WHEN state IN (5, 6, 9, 10) THEN finished_at <= ?3 WHEN state IN (7, 8) THEN finished_at <= ?4 END AS leaves
    FROM message
    WHERE id > ?1
    ORDER BY id LIMIT ?2
)
