-- Which messages the providers mean. ?1: [what the provider calls it, …]
SELECT json_group_array(json_array(m.provider_id, m.id, m.channel_id, m.state, m.recipient, m.template_id))
FROM json_each(?1) AS j
JOIN message AS m ON m.provider_id = j.value
