-- A slice of the runs from the oldest on: how many were looked at, the last of them, and which leave.
-- ?1: after  ?2: at most  ?3: what ended before
SELECT json_array(count(*), max(id), json_group_array(id) FILTER (WHERE ended_at <= ?3))
FROM (SELECT id, ended_at FROM run WHERE id > ?1 ORDER BY id LIMIT ?2)
