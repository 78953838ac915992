WITH j (channel_id, state, change) AS (VALUES (?, ?, ?))
INSERT INTO tally (channel_id, state, count)
SELECT channel_id, state, change FROM j WHERE channel_id IS NOT NULL
ON CONFLICT (channel_id, state) DO UPDATE SET count = count + excluded.count
