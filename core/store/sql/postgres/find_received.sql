-- Which messages the providers mean. $1: [what the provider calls it, …]
-- Unlike SQLite's it locks them, in the order of their ids: of two receipts on two nodes the second waits, and then
-- finds what the first made of the message.
WITH found AS MATERIALIZED (
    SELECT provider_id, id, channel_id, state, recipient, template_id
    FROM message
    WHERE provider_id = ANY (ARRAY(SELECT json_array_elements_text($1::json)))
    ORDER BY id
    FOR UPDATE
)
SELECT coalesce(json_agg(json_build_array(provider_id, id, channel_id, state, recipient, template_id)), '[]')::text
FROM found
