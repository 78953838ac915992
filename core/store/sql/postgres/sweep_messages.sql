-- A slice of the messages from the oldest on: how many were looked at, the last of them, when the youngest was
-- accepted, and which leave. What was accepted in a future that the clock has left says nothing of the others.
-- $1: after  $2: at most  $3: now  Leaves if it ended at that instant or before, NULL for never:
-- $4: sent  $5: delivered  $6: failed  $7: unknown  $8: expired  $9: cancelled
-- Unlike SQLite's it locks those that leave: each is removed, and leaves the counts, on one node. History that leaves
-- by age leaves with its day; this is for what leaves before.
WITH slice AS MATERIALIZED (
    SELECT id, created_at,
           finished_at <= CASE state WHEN 5 THEN $4 WHEN 6 THEN $5 WHEN 7 THEN $6 WHEN 8 THEN $7 WHEN 9 THEN $8
                                     WHEN 10 THEN $9 END
               AS leaves
    FROM message
    WHERE id > $1
    ORDER BY id LIMIT $2
),
leaves AS MATERIALIZED (
    SELECT id, channel_id, state
    FROM message
    WHERE state IN (5, 6, 7, 8, 9, 10) AND id = ANY (ARRAY(SELECT id FROM slice WHERE leaves))
      AND finished_at <= CASE state WHEN 5 THEN $4 WHEN 6 THEN $5 WHEN 7 THEN $6 WHEN 8 THEN $7 WHEN 9 THEN $8
                                    WHEN 10 THEN $9 END
    ORDER BY id
    FOR UPDATE SKIP LOCKED
)
SELECT json_build_array(
    (SELECT count(*) FROM slice), (SELECT max(id) FROM slice),
    (SELECT max(created_at) FROM slice WHERE created_at <= $3),
    (SELECT coalesce(json_agg(json_build_array(id, channel_id, state)), '[]') FROM leaves)
)::text
