-- The newest list of the first part, in which every block has one. ?1: up to this id
SELECT max(id) FROM signpost WHERE id <= ?1
