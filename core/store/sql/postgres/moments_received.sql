-- Before receipts are written: when each was sent, which the receipt's time takes the place of, and what did not
-- arrive.
-- $1: [[id, from, to, reason, detail], …]  $2: now
WITH j AS MATERIALIZED (
    SELECT (value ->> 0)::bigint AS id, (value ->> 1)::bigint AS was, (value ->> 2)::bigint AS becomes,
           value ->> 4 AS detail
    FROM json_array_elements($1::json)
)
INSERT INTO moment (message_id, what, at, detail)
SELECT m.id, 'sent', m.finished_at, NULL
FROM message AS m
WHERE m.state = 5 AND m.id = ANY (ARRAY(SELECT id FROM j WHERE was = 5))
UNION ALL
SELECT id, 'bounced', $2, detail FROM j WHERE becomes = 7
ON CONFLICT (message_id, what) DO UPDATE SET at = excluded.at, detail = excluded.detail
