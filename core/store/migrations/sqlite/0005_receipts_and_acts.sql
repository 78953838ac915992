-- A receipt names the message as its provider does. In every state: one that comes again meets a message that the first
-- has moved.
CREATE INDEX message_provider ON message (provider_id) WHERE provider_id IS NOT NULL;

-- When its provider says that a permit was given, where it does: what a recipient withdraws is what was given before.
ALTER TABLE credential ADD COLUMN made_at INTEGER;

-- Messages that an act moved, of an act on messages. It rises while a bulk act goes on; nothing else is ever rewritten.
ALTER TABLE audit ADD COLUMN count INTEGER;

CREATE INDEX audit_subject ON audit (subject, id);

-- Which messages an act moved: the part of operators in a message's history. Leaves with the message.
CREATE TABLE acted (
    message_id INTEGER NOT NULL,
    audit_id   INTEGER NOT NULL,
    PRIMARY KEY (message_id, audit_id)
) WITHOUT ROWID, STRICT;
