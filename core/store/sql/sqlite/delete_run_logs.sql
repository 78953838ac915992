-- ?1: [id of the run, …]
DELETE FROM run_log WHERE run_id IN (SELECT value FROM json_each(?1))
