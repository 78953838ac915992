-- Stale: past its end and bound to nothing. Used ones stay a while, so that a value that comes again is refused.
-- ?1: now  ?2: used before  ?3: at most
DELETE FROM credential
WHERE id IN (
    SELECT id FROM credential
    WHERE bound_to IS NULL AND (
        (expires_at IS NOT NULL AND uses_left > 0 AND expires_at <= ?1)
        OR (uses_left = 0 AND created_at <= ?2)
    )
    LIMIT ?3
)
RETURNING uses_left > 0 AS unused
