-- Since when the oldest notice of each of these webhooks waits. $1: [webhook, …]
-- Between two bounds that are the same: who is told that the webhook is one looks through all notices from the oldest on.
SELECT coalesce(json_agg(json_build_array(j.webhook, (
    SELECT n.happened_at
    FROM notice AS n
    WHERE n.webhook >= j.webhook AND n.webhook <= j.webhook
    ORDER BY n.webhook, n.id
    LIMIT 1
))), '[]')::text
FROM json_array_elements_text($1::json) AS j (webhook)
