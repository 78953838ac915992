-- ?1: [id, …]
DELETE FROM credential WHERE id IN (SELECT value FROM json_each(?1))
