-- Receipts that came before the outcome of their message.
WITH new (app, provider_id, delivered, detail, received_at)
    AS (SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[]))
INSERT INTO receipt (app, provider_id, delivered, detail, received_at)
SELECT app, provider_id, delivered, detail, received_at
FROM new
ORDER BY app, provider_id
ON CONFLICT (app, provider_id) DO NOTHING
