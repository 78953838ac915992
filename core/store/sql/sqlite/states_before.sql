-- Where these messages stand before a statement moves them. ?1: [id, …]
SELECT id, channel_id, state, template_id, recipient FROM message WHERE id IN (SELECT value FROM json_each(?1))
