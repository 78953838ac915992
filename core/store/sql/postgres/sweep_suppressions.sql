-- Those whose time is over hold nobody any more. $1: now  $2: at most
-- Unlike SQLite's it locks them. They are removed by their place in the table: a join would be with all of it.
DELETE FROM suppression
WHERE ctid = ANY (ARRAY(SELECT ctid FROM suppression WHERE expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED))
