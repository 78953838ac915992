-- How many messages of each channel promote.sql makes due. ?1: now  ?2: at most
SELECT json_group_array(json_array(channel_id, messages))
FROM (
    SELECT channel_id, count(*) AS messages
    FROM (SELECT channel_id FROM message WHERE state = 0 AND due_at <= ?1 ORDER BY due_at, id LIMIT ?2 + 0)
    GROUP BY channel_id
)
