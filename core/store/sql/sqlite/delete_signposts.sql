-- ?1: [id, …]
DELETE FROM signpost WHERE id IN (SELECT value FROM json_each(?1))
