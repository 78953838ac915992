-- The lists of one part, newest block first. ?1: from this id  ?2: up to this one  ?3: at most
SELECT id, marks FROM signpost WHERE id >= ?1 AND id <= ?2 ORDER BY id DESC LIMIT ?3 + 0
