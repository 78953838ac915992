-- Fills a fresh store in one go: messages that have ended, then messages that are queued, with what stands beside each:
-- its body, its idempotency key, and its form_id (used up, or free). They came in the last six days, evenly. The channel
-- is paused, as an operator may have left it. `p` has one row: done, queued, channel, template, now.

CREATE TEMP VIEW line AS
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n, p WHERE i < p.done + p.queued)
SELECT i, i <= p.done AS done, p.channel, p.template, p.now,
       p.now - 518400000 + 518400000 * i / (p.done + p.queued) AS came_at
FROM n, p;

INSERT INTO message (id, channel_id, template_id, recipient, state, priority, due_at, generation, attempts, claimed_at,
                     first_try_at, created_at, finished_at)
SELECT i, channel, template, 'openid-' || i, iif(done, 5, 1), 0, came_at, done, done, iif(done, came_at, NULL),
       iif(done, came_at, NULL), came_at, iif(done, came_at, NULL)
FROM line;

INSERT INTO body (message_id, data)
SELECT i, json_object('code', 'abc', 'id', CAST(i AS TEXT), 'title', 'hello world', 'total', 'def') FROM line;

INSERT INTO idempotency (key, message_id, body_hash, expires_at)
SELECT 'key-' || i, i, 0, came_at + 259200000 FROM line;

INSERT INTO credential (id, app, source, recipient, value, identity, uses_left, expires_at, created_at)
SELECT i, 'shop', 'wechat.form_id', 'openid-' || i, 'form-' || i, 'form-' || i, iif(done, 0, 1), came_at + 604800000,
       came_at
FROM line;

INSERT INTO tally (channel_id, state, count)
SELECT channel, 5, done FROM p UNION ALL SELECT channel, 1, queued FROM p;

UPDATE channel SET paused_at = p.now, pause_note = 'bench' FROM p WHERE channel.id = p.channel;
