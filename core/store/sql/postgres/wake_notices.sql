-- What waits for a webhook is due now, as if it had never been tried. $1: the webhook  $2: now
UPDATE notice SET attempts = 0, due_at = least(due_at, $2) WHERE webhook = $1 AND (attempts > 0 OR due_at > $2)
