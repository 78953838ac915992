-- A message that one act moves twice stands there once.
WITH new (message_id, audit_id) AS (SELECT * FROM unnest($1::bigint[], $2::bigint[]))
INSERT INTO acted (message_id, audit_id)
SELECT message_id, audit_id
FROM new
ON CONFLICT DO NOTHING
