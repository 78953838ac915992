-- A receipt names the message as its provider does. In every state: one that comes again meets a message that the first
-- has moved.
CREATE INDEX message_provider ON message (provider_id) WHERE provider_id IS NOT NULL;

-- When its provider says that a permit was given, where it does: what a recipient withdraws is what was given before.
ALTER TABLE credential ADD COLUMN made_at INTEGER;
