-- A time keeps its first verdict, unless an operator asks for another (`asked`).
WITH j (schedule, nominal, verdict, decided_at, late_ms, run_id, asked) AS (VALUES (?, ?, ?, ?, ?, ?, ?))
INSERT INTO firing (schedule, nominal_at, verdict, decided_at, late_ms, run_id)
SELECT schedule, nominal, verdict, decided_at, late_ms, run_id
FROM j
WHERE schedule IS NOT NULL AND (asked OR NOT EXISTS (
    SELECT 1 FROM firing AS f WHERE f.schedule = j.schedule AND f.nominal_at = j.nominal
))
ON CONFLICT (schedule, nominal_at) DO UPDATE
SET verdict = excluded.verdict, decided_at = excluded.decided_at, late_ms = excluded.late_ms, run_id = excluded.run_id
