-- What a run says of itself, as long as it goes on. Answers with how many lines its log had.
-- $1: run  $2: done  $3: total  $4: preflight  $5: deadline  $6: whether it is resumed  $7: state  $8: ended at
-- $9: result
-- $10: lines  $11: the node  $12: whether it takes the run on
-- Unlike SQLite's a run is taken on by one node, which has it until its lease is over.
UPDATE run
SET done = coalesce($2, done), total = coalesce($3, total), preflight = coalesce($4, preflight),
    deadline_at = coalesce(deadline_at, $5), resumed = resumed + $6, state = $7, ended_at = $8, result = $9,
    log_lines = log_lines + $10, node_id = CASE WHEN $12 <> 0 THEN $11 ELSE node_id END
WHERE id = $1 AND state = 0
  AND ($12 = 0 OR node_id IS NULL OR node_id = $11
       OR NOT EXISTS (SELECT FROM node WHERE node.id = run.node_id AND node.lease_until > tidings_now()))
RETURNING log_lines - $10
