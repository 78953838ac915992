-- Since when the oldest notice of each of these webhooks waits. $1: [webhook, …]
SELECT coalesce(json_agg(json_build_array(j.webhook, (
    SELECT n.happened_at FROM notice AS n WHERE n.webhook = j.webhook ORDER BY n.id LIMIT 1
))), '[]')::text
FROM json_array_elements_text($1::json) AS j (webhook)
