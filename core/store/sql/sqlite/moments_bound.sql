-- What those went on with who had waited. ?1: [[id, detail], …]  ?2: now
INSERT OR REPLACE INTO moment (message_id, what, at, detail)
SELECT value ->> 0, 'bound', ?2, value ->> 1 FROM json_each(?1)
