-- A slice of the record of changes from the oldest entry on: how many were looked at, the last of them, and which leave.
-- ?1: after  ?2: at most  ?3: what was written before
SELECT json_array(count(*), max(id), json_group_array(id) FILTER (WHERE at <= ?3))
FROM (SELECT id, at FROM audit WHERE id > ?1 ORDER BY id LIMIT ?2)
