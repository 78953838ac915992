-- Ends what late.sql found. ?1: [id, …]  ?2: now
UPDATE message
SET state = 9, finished_at = ?2, reason = 'expired', detail = 'its time ran out before it could be sent'
WHERE id IN (SELECT value FROM json_each(?1))
