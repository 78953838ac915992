-- Whose the messages of a block are. ?1: from this id  ?2: up to this one
SELECT json_group_array(json_array(id, recipient)) FROM message WHERE id >= ?1 AND id <= ?2
