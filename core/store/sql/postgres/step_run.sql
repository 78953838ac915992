-- A step of a run, once: its number is the one behind the last. Answers with how many lines the log had.
-- $1: run  $2: number  $3: place  $4: done  $5: total  $6: accepted  $7: duplicates  $8: suppressed  $9: refused
-- $10: lines
-- $11: the first of its messages  $12: the last
UPDATE run
SET step = $2, place = $3, done = $4, total = coalesce($5, total), accepted = accepted + $6,
    duplicates = duplicates + $7, suppressed = suppressed + $8, refused = refused + $9, log_lines = log_lines + $10,
    first_message = coalesce(first_message, $11), last_message = coalesce($12, last_message)
WHERE id = $1 AND state = 0 AND step = $2 - 1
RETURNING log_lines - $10
