-- The days of history that are there, oldest first: of which table, its own name, from which instant, up to which, and
-- that one not with it.
SELECT parent.relname::text AS parent, day.relname::text AS name,
       (regexp_match(bound.text, 'FROM \(''?(\d+)''?\)'))[1]::bigint AS "from",
       (regexp_match(bound.text, 'TO \(''?(\d+)''?\)'))[1]::bigint AS "to"
FROM pg_inherits AS i
JOIN pg_class AS parent ON parent.oid = i.inhparent
JOIN pg_class AS day ON day.oid = i.inhrelid
CROSS JOIN LATERAL (SELECT pg_get_expr(day.relpartbound, day.oid) AS text) AS bound
WHERE i.inhparent IN ('message_done'::regclass, 'message_failed'::regclass) AND NOT i.inhdetachpending
  AND day.relname ~ '_\d{8}$'
ORDER BY "from", parent
