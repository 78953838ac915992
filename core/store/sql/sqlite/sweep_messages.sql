-- A slice of the messages from the oldest on: how many were looked at, the last of them, when the youngest was accepted,
-- and which leave. What was accepted in a future that the clock has left says nothing of the others. ?1: after  ?2: at most
-- ?3: now  Leaves if it ended at that instant or before, NULL for never: ?4: sent  ?5: delivered  ?6: failed  ?7: unknown
-- ?8: expired  ?9: cancelled
SELECT json_array(
    count(*), max(id), max(created_at) FILTER (WHERE created_at <= ?3), json_group_array(json_array(id, channel_id, state)) FILTER (WHERE leaves)
)
FROM (
    SELECT id, channel_id, state, created_at,
           finished_at <= CASE state WHEN 5 THEN ?4 WHEN 6 THEN ?5 WHEN 7 THEN ?6 WHEN 8 THEN ?7 WHEN 9 THEN ?8 WHEN 10 THEN ?9 END
               AS leaves
    FROM message
    WHERE id > ?1
    ORDER BY id LIMIT ?2
)
