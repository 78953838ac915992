-- When there is something to do that nobody asks for.
SELECT min(at)
FROM (
    SELECT min(due_at) AS at FROM message WHERE state = 0
    UNION ALL
    SELECT min(expires_at) FROM message WHERE expires_at IS NOT NULL AND state IN (0, 1, 2, 4)
) AS ahead
