-- What a webhook is still to be told, soonest due first. $1: the webhook  $2: at most
SELECT id, event, happened_at, data, attempts, due_at FROM notice WHERE webhook = $1 ORDER BY due_at, id LIMIT $2
