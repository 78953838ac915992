-- Since when the oldest notice of each of these webhooks waits. ?1: [webhook, …]
SELECT json_group_array(json_array(j.value, (
    SELECT n.happened_at FROM notice AS n WHERE n.webhook = j.value ORDER BY n.id LIMIT 1
)))
FROM json_each(?1) AS j
