-- Takes them for one attempt each. $1: [id, …]  $2: now  $3: the node that sends them  $4: its transaction
-- Unlike SQLite's it says whose they are: another node may come to look after them. And it takes none for a node whose
-- lease is over: they would be others' to take over at once.
UPDATE message
SET state        = 3,
    generation   = generation + 1,
    claimed_at   = $2,
    node_id      = $3,
    claim        = $4,
    first_try_at = CASE ambiguous WHEN 1 THEN first_try_at ELSE $2 END
WHERE state = 1 AND id = ANY (ARRAY(SELECT value::bigint FROM json_array_elements_text($1::json)))
  AND (SELECT lease_until > tidings_now() FROM node WHERE node.id = $3)
