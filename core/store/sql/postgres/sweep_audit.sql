-- A slice of the record of changes from the oldest entry on: how many were looked at, the last of them, and which
-- leave.
-- $1: after  $2: at most  $3: what was written before
SELECT json_build_array(count(*), max(id), coalesce(json_agg(id) FILTER (WHERE at <= $3), '[]'))::text
FROM (SELECT id, at FROM audit WHERE id > $1 ORDER BY id LIMIT $2) AS slice
