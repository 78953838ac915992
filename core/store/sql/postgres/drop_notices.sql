-- The oldest notices of a webhook for which too many wait. $1: the webhook  $2: how many
DELETE FROM notice WHERE id = ANY (ARRAY(SELECT id FROM notice WHERE webhook = $1 ORDER BY id LIMIT $2))
