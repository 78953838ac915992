-- Which of these attempts are still under way, and in which channel. $1: [[message id, generation], …]
-- Unlike SQLite's it locks them: no other node takes them over before they are settled. And it intersects:
-- a join would compare each with each.
WITH j AS MATERIALIZED (
    SELECT (value ->> 0)::bigint AS id, (value ->> 1)::bigint AS generation FROM json_array_elements($1::json)
),
found AS MATERIALIZED (
    SELECT m.id, m.generation
    FROM message AS m
    WHERE m.state = 3 AND m.id = ANY (ARRAY(SELECT id FROM j))
    ORDER BY m.id
    FOR UPDATE
)
SELECT coalesce(json_agg(json_build_array(id, generation)), '[]')::text
FROM (SELECT id, generation FROM found INTERSECT SELECT id, generation FROM j) AS under_way
