-- Verdicts of long ago. A schedule's cursor stays, so nothing fires again. ?1: before  ?2: at most
DELETE FROM firing
WHERE (schedule, nominal_at) IN (
    SELECT f.schedule, f.nominal_at
    FROM schedule AS s
    CROSS JOIN firing AS f ON f.schedule = s.name AND f.nominal_at < ?1
    LIMIT ?2
)
