-- Makes messages due, and answers how many of each channel and priority, and since when the first of them is.
-- $1: now  $2: at most
-- Unlike SQLite's it does what promote.sql does there: between two statements another node could make some of them due,
-- and the counts would be wrong. What another node has locked is that node's to promote.
-- `+ 0` as in claim.sql.
WITH due AS MATERIALIZED (
    SELECT id FROM message WHERE state = 0 AND due_at <= $1 ORDER BY due_at, id LIMIT $2 FOR UPDATE SKIP LOCKED
),
promoted AS (
    UPDATE message_hot SET state = 1 WHERE state + 0 = 0 AND id = ANY (ARRAY(SELECT id FROM due))
    RETURNING channel_id, priority, due_at
)
SELECT coalesce(json_agg(json_build_array(channel_id, messages, priority, first)), '[]')::text
FROM (
    SELECT channel_id, priority, count(*) AS messages, min(due_at) AS first FROM promoted GROUP BY channel_id, priority
) AS g
