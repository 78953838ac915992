-- A time keeps its first verdict, unless an operator asks for another (`asked`).
-- Two statements in one, where SQLite has one: a node that comes second must not write over the first one's verdict,
-- and whether it was asked for is known of the row and not of the table. Of two that were asked for the last counts.
WITH j AS MATERIALIZED (
    SELECT *
    FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
        WITH ORDINALITY AS j (schedule, nominal, verdict, decided_at, late_ms, run_id, asked, turn)
),
asked AS (
    INSERT INTO firing (schedule, nominal_at, verdict, decided_at, late_ms, run_id)
    SELECT DISTINCT ON (schedule, nominal) schedule, nominal, verdict, decided_at, late_ms, run_id
    FROM j
    WHERE asked <> 0
    ORDER BY schedule, nominal, turn DESC
    ON CONFLICT (schedule, nominal_at) DO UPDATE
    SET verdict = excluded.verdict, decided_at = excluded.decided_at, late_ms = excluded.late_ms,
        run_id = excluded.run_id
)
INSERT INTO firing (schedule, nominal_at, verdict, decided_at, late_ms, run_id)
SELECT schedule, nominal, verdict, decided_at, late_ms, run_id
FROM j
WHERE asked = 0 AND (schedule, nominal) NOT IN (SELECT schedule, nominal FROM j WHERE asked <> 0)
ORDER BY schedule, nominal, turn
ON CONFLICT (schedule, nominal_at) DO NOTHING
