-- ?1: [[channel_id, state, change], …]
INSERT INTO tally (channel_id, state, count)
SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1) WHERE true
ON CONFLICT (channel_id, state) DO UPDATE SET count = count + excluded.count
