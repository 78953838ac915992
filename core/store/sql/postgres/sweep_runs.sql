-- A slice of the runs from the oldest on: how many were looked at, the last of them, and which leave.
-- $1: after  $2: at most  $3: what ended before
SELECT json_build_array(count(*), max(id), coalesce(json_agg(id) FILTER (WHERE ended_at <= $3), '[]'))::text
FROM (SELECT id, ended_at FROM run WHERE id > $1 ORDER BY id LIMIT $2) AS slice
