WITH j (id, schedule, nominal, job, started_at) AS (VALUES (?, ?, ?, ?, ?))
INSERT INTO run (id, schedule, nominal_at, job, state, started_at)
SELECT id, schedule, nominal, job, 0, started_at FROM j WHERE id IS NOT NULL
