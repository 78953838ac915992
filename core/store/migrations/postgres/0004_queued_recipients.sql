-- What is queued is claimed a moment later as a rule, and nobody asks for its recipient meanwhile: to write each into the
-- index of recipients was a quarter of what it takes to accept a message. It stands behind its place in the queue instead,
-- where there is an entry for it anyway: whoever asks reads the entries of what is queued, forty to a hundred milliseconds for
-- a million.
DROP INDEX message_hot_by_recipient;
CREATE INDEX message_hot_by_recipient ON message_hot (recipient, id) WHERE state <> 1 AND state <> 3;
DROP INDEX message_queued;
CREATE INDEX message_queued ON message_hot (channel_id, priority DESC, due_at, id, recipient) WHERE state = 1;
