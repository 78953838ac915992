-- ?1: [id, …]
DELETE FROM audit WHERE id IN (SELECT value FROM json_each(?1))
