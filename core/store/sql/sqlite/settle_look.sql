-- Which of these attempts are still under way, and in which channel. ?1: [[message id, generation], …]
SELECT json_group_array(json_array(m.id, m.generation))
FROM json_each(?1) AS j
JOIN message AS m ON m.id = j.value ->> 0 AND m.generation = j.value ->> 1 AND m.state = 3
