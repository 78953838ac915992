WITH new (message_id, generation, started_at, ended_at, outcome, detail)
    AS (SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[]))
INSERT INTO attempt (message_id, generation, started_at, ended_at, outcome, detail)
SELECT message_id, generation, started_at, ended_at, outcome, detail
FROM new
ON CONFLICT DO NOTHING
