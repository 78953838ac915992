-- The messages of one recipient that wait for a permit. ?1: recipient  ?2: at most
SELECT json_group_array(template_id)
FROM (SELECT template_id FROM message WHERE state = 2 AND recipient = ?1 ORDER BY recipient, id LIMIT ?2 + 0)
