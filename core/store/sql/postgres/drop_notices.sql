-- The oldest notices of a webhook for which too many wait. $1: the webhook  $2: how many
-- The bounds as in oldest_notices.sql.
DELETE FROM notice
WHERE id = ANY (ARRAY(
    SELECT id FROM notice WHERE webhook >= $1 AND webhook <= $1 ORDER BY webhook, id LIMIT $2
))
