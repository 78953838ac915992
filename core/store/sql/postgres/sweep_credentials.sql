-- A slice of the ledger from the oldest on: how many were looked at, the last of them, and which leave, and whether
-- with uses left. Stale ones leave: past their end and bound to nothing. Used ones stay a while, so that a value that
-- comes again is refused, and until their end, so that what is minted once a month is not minted twice.
-- $1: after  $2: at most  $3: now  $4: used ones leave if they came before
SELECT json_build_array(
    count(*), max(id), coalesce(json_agg(json_build_array(id, (uses_left > 0)::int)) FILTER (WHERE leaves), '[]')
)::text
FROM (
    SELECT id, uses_left,
           bound_to IS NULL
           AND ((uses_left > 0 AND expires_at IS NOT NULL AND expires_at <= $3)
                OR (uses_left = 0 AND created_at <= $4 AND (expires_at IS NULL OR expires_at <= $3)))
           AS leaves
    FROM credential
    WHERE id > $1
    ORDER BY id LIMIT $2
) AS slice
