-- Messages that stopped short of being sent, by channel, reason and template. The states stand here as literals,
-- because a partial index is chosen for them. $1: state  $2: channel, or NULL for all  $3: groups at most
SELECT (SELECT name FROM channel WHERE id = g.channel_id) AS channel, reason,
       (SELECT name FROM template WHERE id = g.template_id) AS template, count, oldest_at, newest_at, newest
FROM (
    SELECT channel_id, reason, template_id, count(*) AS count, max(id) AS newest,
           min(coalesce(finished_at, due_at)) AS oldest_at, max(coalesce(finished_at, due_at)) AS newest_at
    FROM message
    WHERE state IN (4, 7, 8, 9, 10)
      AND state = $1
      AND ($2 IS NULL OR channel_id = (SELECT id FROM channel WHERE name = $2))
    GROUP BY channel_id, reason, template_id
    ORDER BY channel_id, reason, template_id
    LIMIT $3
) AS g
