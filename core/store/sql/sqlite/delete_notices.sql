-- Notices that were told, or are given up. ?1: [id, …]
DELETE FROM notice WHERE id IN (SELECT value FROM json_each(?1))
