-- A node takes a run on, unless another one whose lease holds is at it. Answers with a row if it may.
-- $1: run  $2: node
UPDATE run
SET node_id = $2
WHERE id = $1 AND state = 0
  AND (node_id IS NULL OR node_id = $2
       OR NOT EXISTS (SELECT FROM node WHERE node.id = run.node_id AND node.lease_until > tidings_now()))
RETURNING id
