-- Notices that are tried again.
WITH j (id, attempts, due_at, detail) AS (SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[]))
UPDATE notice
SET attempts = j.attempts, due_at = j.due_at, detail = j.detail
FROM j
WHERE notice.id = j.id
