-- ?1: [[message id, generation, started_at, ended_at, outcome, detail], …]
INSERT OR IGNORE INTO attempt (message_id, generation, started_at, ended_at, outcome, detail)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5
FROM json_each(?1)
