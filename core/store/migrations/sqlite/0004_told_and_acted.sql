-- What callers, operators and providers do, and who is told.

-- Receipts that came before the outcome of their message: they wait for it.
CREATE TABLE receipt (
    app         TEXT    NOT NULL,
    provider_id TEXT    NOT NULL,
    -- 1 delivered, 0 not
    delivered   INTEGER NOT NULL,
    detail      TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (app, provider_id)
) WITHOUT ROWID, STRICT;

-- Who changed what, when, why. Never rewritten; leaves by age.
CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    -- A key's name, `local`, or what in the engine did it.
    who     TEXT    NOT NULL,
    -- What was done, as in `channel.pause`.
    act     TEXT    NOT NULL,
    -- To what: a message, a channel, a key.
    subject TEXT    NOT NULL,
    why     TEXT,
    -- How many it moved, of a bulk act; what changed, of a config.
    detail  TEXT
) STRICT;

-- Keys of callers. The key itself is nowhere: only what it hashes to.
CREATE TABLE api_key (
    name       TEXT PRIMARY KEY,
    hash       TEXT    NOT NULL UNIQUE,
    scopes     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT    NOT NULL,
    -- Not after; null for as long as it is not revoked.
    expires_at INTEGER,
    revoked_at INTEGER
) WITHOUT ROWID, STRICT;

-- Recipients of an app who are told nothing.
CREATE TABLE suppression (
    app        TEXT    NOT NULL,
    recipient  TEXT    NOT NULL,
    reason     TEXT    NOT NULL,
    who        TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (app, recipient)
) WITHOUT ROWID, STRICT;

-- What a webhook of ours is still to be told.
CREATE TABLE notice (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook    TEXT    NOT NULL,
    -- What happened, as in `message.sent`, when, and about what: a JSON object.
    event      TEXT    NOT NULL,
    happened_at INTEGER NOT NULL,
    data       TEXT    NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    due_at     INTEGER NOT NULL,
    detail     TEXT
) STRICT;

CREATE INDEX notice_due ON notice (webhook, due_at, id);

-- The trace that a caller's request belongs to (W3C Trace Context), where it named one.
ALTER TABLE body ADD COLUMN trace TEXT;

-- With everything a forecast asks of a free permit, so that a walk through the ledger reads this index alone, in its
-- order. The claim's order of columns stands first; `bound_to` is always NULL here, and stands in it because SQLite
-- reads a row for a column that only the condition of the index speaks of.
DROP INDEX credential_free;
CREATE INDEX credential_free ON credential (recipient, app, source, expires_at, scope, uses_left, bound_to)
    WHERE bound_to IS NULL AND uses_left > 0;
