-- Receipts that met their message, or waited too long for it.
WITH j (app, provider_id) AS (VALUES (?, ?))
DELETE FROM receipt
WHERE (app, provider_id) IN (SELECT app, provider_id FROM j)
