-- Which of these times have a verdict already, or a run, and the run if it goes on. One that an operator asks for (`asked`)
-- may have a verdict, and no run.
WITH j (schedule, nominal, asked) AS (VALUES (?, ?, ?))
SELECT json_group_array(json_array(j.schedule, j.nominal, CASE r.state WHEN 0 THEN r.id END))
FROM j
LEFT JOIN run AS r ON r.schedule = j.schedule AND r.nominal_at = j.nominal
LEFT JOIN firing AS f ON f.schedule = j.schedule AND f.nominal_at = j.nominal
LEFT JOIN schedule AS s ON s.name = j.schedule
WHERE j.schedule IS NOT NULL
    AND (r.id IS NOT NULL OR NOT j.asked AND (f.verdict IS NOT NULL OR s.cursor_at >= j.nominal))
