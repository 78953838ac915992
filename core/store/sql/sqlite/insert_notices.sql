-- What webhooks are to be told, due at once.
WITH new (webhook, event, happened_at, data) AS (VALUES (?, ?, ?, ?))
INSERT INTO notice (webhook, event, happened_at, data, due_at)
SELECT webhook, event, happened_at, data, happened_at
FROM new
WHERE webhook IS NOT NULL
