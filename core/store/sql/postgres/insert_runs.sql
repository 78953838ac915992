-- $6, behind the rows: the node that works on them
-- Unlike SQLite's it leaves a time alone that has a run: another node may have begun it since fired_before.sql, and
-- then fewer rows are written than there are runs.
WITH j (id, schedule, nominal, job, started_at)
    AS (SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::bigint[]))
INSERT INTO run (id, schedule, nominal_at, job, state, started_at, node_id)
SELECT id, schedule, nominal, job, 0, started_at, $6
FROM j
ORDER BY schedule, nominal
ON CONFLICT (schedule, nominal_at) DO NOTHING
