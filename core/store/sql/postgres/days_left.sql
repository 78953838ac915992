-- Days whose dropping somebody began and did not end: of which table, its own name, and whether it is still to be
-- detached to the end (ALTER TABLE … DETACH PARTITION … FINALIZE), or only to be dropped.
SELECT parent.relname::text AS parent, day.relname::text AS name, (i.inhrelid IS NOT NULL)::int AS detaching
FROM pg_class AS parent
JOIN pg_class AS day
  ON day.relnamespace = parent.relnamespace AND day.relkind = 'r' AND day.relname ~ ('^' || parent.relname || '_\d{8}$')
LEFT JOIN pg_inherits AS i ON i.inhrelid = day.oid
WHERE parent.oid IN ('message_done'::regclass, 'message_failed'::regclass)
  AND (i.inhrelid IS NULL OR i.inhdetachpending)
ORDER BY name
