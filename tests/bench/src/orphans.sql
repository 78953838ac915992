-- Leaves the store as a crash would: the head of the queue is `sending`, each message with its form_id bound.
-- `p` has one row: orphans, channel, now.

CREATE TEMP TABLE chosen AS
SELECT id FROM message
WHERE state = 1 AND channel_id = (SELECT channel FROM p)
ORDER BY priority DESC, due_at, id LIMIT (SELECT orphans FROM p);

UPDATE message
SET state = 3, generation = generation + 1, claimed_at = (SELECT now FROM p), first_try_at = (SELECT now FROM p)
WHERE id IN (SELECT id FROM chosen);

UPDATE credential SET bound_to = id WHERE id IN (SELECT id FROM chosen);

INSERT INTO tally (channel_id, state, count)
SELECT channel, 3, (SELECT count(*) FROM chosen) FROM p WHERE true
ON CONFLICT (channel_id, state) DO UPDATE SET count = count + excluded.count;

UPDATE tally SET count = count - (SELECT count(*) FROM chosen)
WHERE state = 1 AND channel_id = (SELECT channel FROM p);
