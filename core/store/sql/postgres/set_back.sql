-- The clock was set back: what waits between two attempts waits as long as it was to, and the window in which a
-- provider drops second copies began as long ago as it did. What somebody asked to be sent at a time keeps its time.
-- $1: by how much  $2: now  $3: [node, …]
-- Unlike SQLite's it moves what this engine wrote, under whichever number: the clocks of others were not set. Whoever claimed a
-- message last says when it is tried again. Its first try may have been another's: then the window ends too soon, and never
-- too late.
UPDATE message
SET due_at       = CASE WHEN due_at > $2 THEN due_at - $1 ELSE due_at END,
    first_try_at = first_try_at - $1
WHERE state = 0 AND generation > 0
  AND node_id = ANY (ARRAY(SELECT value::bigint FROM json_array_elements_text($3::json)))
