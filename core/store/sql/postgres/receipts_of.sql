-- Receipts that wait for the outcome of these, whoever took them in. $1: [[app, what the provider calls it], …]
SELECT coalesce(json_agg(json_build_array(r.app, r.provider_id, r.delivered, r.detail, r.received_at)
                         ORDER BY r.received_at), '[]')::text
FROM json_array_elements($1::json) AS j
CROSS JOIN LATERAL (
    SELECT * FROM receipt WHERE receipt.app = j.value ->> 0 AND receipt.provider_id = j.value ->> 1 OFFSET 0
) AS r
