-- Which of these times have a verdict already, or a run, and the run if it goes on. One that an operator asks for
-- (`asked`) may have a verdict, and no run.
WITH j (schedule, nominal, asked) AS (SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[]))
SELECT coalesce(json_agg(json_build_array(j.schedule, j.nominal, CASE r.state WHEN 0 THEN r.id END)), '[]')::text
FROM j
LEFT JOIN run AS r ON r.schedule = j.schedule AND r.nominal_at = j.nominal
LEFT JOIN firing AS f ON f.schedule = j.schedule AND f.nominal_at = j.nominal
LEFT JOIN schedule AS s ON s.name = j.schedule
WHERE r.id IS NOT NULL OR j.asked = 0 AND (f.verdict IS NOT NULL OR s.cursor_at >= j.nominal)
