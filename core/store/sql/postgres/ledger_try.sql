-- Has as many of the recipients' parts of the ledger to itself until the transaction ends as nobody else has, and answers with
-- whose they are: [recipient, …]. It waits for none (ledger_lock.sql does): whoever has one may want a channel that is locked
-- here.
-- $1: [recipient, …]
WITH named AS MATERIALIZED (
    SELECT value AS recipient, hashtext(value) & 255 AS part FROM json_array_elements_text($1::json)
),
own AS MATERIALIZED (
    SELECT part FROM (SELECT DISTINCT part FROM named OFFSET 0) AS parts WHERE pg_try_advisory_xact_lock(7408, part)
)
SELECT coalesce(json_agg(recipient), '[]')::text FROM named WHERE part IN (SELECT part FROM own)
