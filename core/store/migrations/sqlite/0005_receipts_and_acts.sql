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

-- How our webhooks stand: since when every try failed, since when and why they are told nothing more, and how many notices
-- nobody was told.
CREATE TABLE webhook (
    name            TEXT PRIMARY KEY,
    failing_since   INTEGER,
    disabled_at     INTEGER,
    disabled_reason TEXT,
    given_up        INTEGER NOT NULL DEFAULT 0,
    dropped         INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID, STRICT;

-- When too many notices wait for a webhook, the oldest leave.
CREATE INDEX notice_age ON notice (webhook, id);

CREATE INDEX suppression_expiring ON suppression (expires_at) WHERE expires_at IS NOT NULL;
