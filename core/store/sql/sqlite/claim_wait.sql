-- Those for whom nothing fits wait. ?1: [id, …]
UPDATE message
SET state = 2, reason = 'no_credential', detail = 'waits for a usable credential of this recipient'
WHERE state = 1 AND id IN (SELECT value FROM json_each(?1))
