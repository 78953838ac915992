-- Takes them for one attempt each. ?1: [id, …]  ?2: now
UPDATE message
SET state        = 3,
    generation   = generation + 1,
    claimed_at   = ?2,
    first_try_at = CASE ambiguous WHEN 1 THEN first_try_at ELSE ?2 END
WHERE state = 1 AND id IN (SELECT value FROM json_each(?1))
