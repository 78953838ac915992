-- Verdicts of long ago. A schedule's cursor stays, so nothing fires again. $1: before  $2: at most
DELETE FROM firing
USING (
    SELECT f.schedule, f.nominal_at
    FROM schedule AS s
    JOIN firing AS f ON f.schedule = s.name AND f.nominal_at < $1
    LIMIT $2
) AS old
WHERE firing.schedule = old.schedule AND firing.nominal_at = old.nominal_at
