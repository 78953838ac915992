-- Receipts that came before the outcome of their message.
WITH new (app, provider_id, delivered, detail, received_at) AS (VALUES (?, ?, ?, ?, ?))
INSERT INTO receipt (app, provider_id, delivered, detail, received_at)
SELECT app, provider_id, delivered, detail, received_at
FROM new
WHERE app IS NOT NULL
ON CONFLICT (app, provider_id) DO NOTHING
