-- Where these messages stand before a statement moves them. $1: [id, …]
-- Unlike SQLite's it locks them, in the order of their ids: another node must not move them in between.
SELECT id, channel_id, state, template_id, recipient
FROM message
WHERE id = ANY (ARRAY(SELECT value::bigint FROM json_array_elements_text($1::json)))
ORDER BY id
FOR UPDATE
