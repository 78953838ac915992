-- Which of those that were to be inserted are new. ?1: the id before the first
SELECT json_group_array(id) FROM credential WHERE id > ?1
