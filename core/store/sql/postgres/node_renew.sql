-- A node goes on, and says how it does. Answers with the database's time; with nothing if its lease is over: then
-- others may have what it was sending, and it has to come anew.
-- $1: node  $2: for how long, ms  $3: messages on their way  $4: sent in a second  $5: whether it is draining
-- $6: fingerprint of its config
UPDATE node
SET renewed_at = clock.at, lease_until = clock.at + $2, in_flight = $3, sent_per_s = $4, draining = $5, config = $6
FROM (SELECT tidings_now() AS at OFFSET 0) AS clock
WHERE node.id = $1 AND node.lease_until > tidings_now()
RETURNING node.renewed_at
