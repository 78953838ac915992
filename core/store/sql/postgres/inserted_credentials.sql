-- Which of those that were to be inserted are new. $1: the id before the first
-- Those that other nodes inserted meanwhile may be among them.
SELECT coalesce(json_agg(id), '[]')::text FROM credential WHERE id > $1
