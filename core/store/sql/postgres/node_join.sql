-- A node comes. Answers with its number, which no other ever has, and the database's time.
-- $1: name  $2: version  $3: fingerprint of its config  $4: for how long it has its lease, ms
-- $5: where its API answers
INSERT INTO node (name, version, config, address, started_at, renewed_at, lease_until)
SELECT $1, $2, $3, $5, at, at, at + $4 FROM (SELECT tidings_now() AS at) AS clock
RETURNING id, renewed_at
