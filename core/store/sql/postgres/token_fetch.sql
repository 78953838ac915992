-- The right to fetch the next token of an app, for a while: one node has it, as long as it is there. Answers with the newest token if this one
-- got it, which may be newer than what it knows, and with nothing if another has it.
-- $1: app  $2: node  $3: for how long, ms
INSERT INTO token AS t (app, fetching_node, fetching_until)
VALUES ($1, $2, tidings_now() + $3)
ON CONFLICT (app) DO UPDATE
SET fetching_node = excluded.fetching_node, fetching_until = excluded.fetching_until
WHERE t.fetching_until IS NULL OR t.fetching_until < tidings_now() OR t.fetching_node = excluded.fetching_node
   OR NOT EXISTS (SELECT FROM node WHERE node.id = t.fetching_node AND node.lease_until > tidings_now())
RETURNING value, generation, fetched_at, expires_at, day, fetches, account
