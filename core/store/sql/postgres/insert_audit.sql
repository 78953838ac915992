WITH new (id, at, who, act, subject, why, detail, count)
    AS (SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                             $8::bigint[]))
INSERT INTO audit (id, at, who, act, subject, why, detail, count)
SELECT id, at, who, act, subject, why, detail, count
FROM new
