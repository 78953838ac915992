-- Which of those that were to be inserted are new. ?1: [id, …]
SELECT json_group_array(c.id) FROM json_each(?1) AS j JOIN credential AS c ON c.id = j.value
