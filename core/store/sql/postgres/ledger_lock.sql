-- Whoever lets a message wait, and whoever brings or frees a permit, has the recipient's part of the ledger to itself until
-- its transaction ends: so the one sees what the other did, and nobody waits beside a permit that is his.
-- $1: [recipient, …]
-- In the order of the parts, so that two nodes do not wait for each other.
SELECT count(pg_advisory_xact_lock(7408, part))
FROM (
    SELECT DISTINCT hashtext(value) & 255 AS part FROM json_array_elements_text($1::json) ORDER BY part
) AS parts
