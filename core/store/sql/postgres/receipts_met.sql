-- Receipts that wait although the outcome of their message is written: the one and the other came at once, on two
-- nodes.
-- $1: at most  $2: no further apart, ms
-- The one came about when the other ended, so a day's table or two are looked into, however many there are.
-- OFFSET 0 has the message of each receipt looked up: otherwise the receipt of each message would be, of all that there are.
SELECT coalesce(json_agg(json_build_array(app, provider_id, delivered, detail, received_at)), '[]')::text
FROM (
    SELECT r.app, r.provider_id, r.delivered, r.detail, r.received_at
    FROM receipt AS r
    WHERE EXISTS (
        SELECT FROM message AS m
        WHERE m.provider_id = r.provider_id AND m.state IN (5, 6, 7, 8, 9, 10)
          AND m.finished_at BETWEEN r.received_at - $2 AND r.received_at + $2
        OFFSET 0
    )
    ORDER BY r.received_at
    LIMIT $1
    FOR UPDATE OF r SKIP LOCKED
) AS met
