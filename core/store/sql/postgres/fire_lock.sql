-- Taken before fired_before.sql: one node at a time decides about nominal times, and sees what the one before decided.
SELECT pg_advisory_xact_lock(7407, 2)
