-- Receipts that met their message, or waited too long for it.
WITH j (app, provider_id) AS (SELECT * FROM unnest($1::text[], $2::text[]))
DELETE FROM receipt
USING j
WHERE receipt.app = j.app AND receipt.provider_id = j.provider_id
