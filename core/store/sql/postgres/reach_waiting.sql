-- The messages of one recipient that wait for a permit. $1: recipient  $2: at most
SELECT coalesce(json_agg(template_id), '[]')::text
FROM (SELECT template_id FROM message WHERE state = 2 AND recipient = $1 ORDER BY recipient, id LIMIT $2) AS waiting
