-- Notices that are tried again.
WITH j (id, attempts, due_at, detail) AS (VALUES (?, ?, ?, ?))
UPDATE notice
SET attempts = j.attempts, due_at = j.due_at, detail = j.detail
FROM j
WHERE notice.id = j.id
