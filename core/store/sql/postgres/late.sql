-- Whose time ran out. A message in the middle of an attempt is not among them: its settlement decides.
-- $1: now  $2: at most
-- Unlike SQLite's it locks them: they end in the next statement, and on one node.
SELECT id, channel_id, state, template_id, recipient
FROM message
WHERE expires_at IS NOT NULL AND state IN (0, 1, 2, 4) AND expires_at <= $1
ORDER BY expires_at, id LIMIT $2
FOR UPDATE SKIP LOCKED
