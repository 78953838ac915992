-- A node goes, and has nothing on its way: its lease is over now. $1: node
UPDATE node SET lease_until = 0, draining = 1, in_flight = 0, sent_per_s = 0 WHERE id = $1
