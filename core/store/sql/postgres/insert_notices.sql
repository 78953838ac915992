-- What webhooks are to be told, due at once.
WITH new (webhook, event, happened_at, data)
    AS (SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[]))
INSERT INTO notice (webhook, event, happened_at, data, due_at)
SELECT webhook, event, happened_at, data, happened_at
FROM new
