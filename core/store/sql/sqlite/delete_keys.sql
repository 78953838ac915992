-- ?1: [key, …]
DELETE FROM idempotency WHERE key IN (SELECT value FROM json_each(?1))
