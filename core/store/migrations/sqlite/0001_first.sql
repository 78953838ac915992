-- Times are milliseconds since the Unix epoch. States are the numbers of tidings_model::State; they stand here as
-- literals, because a partial index is chosen for a literal and not for a bound value.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID, STRICT;

CREATE TABLE channel (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    -- An operator's pause: who and why. NULL while it runs.
    paused_at   INTEGER,
    pause_note  TEXT,
    -- Until when the provider wants no more, and what it said.
    closed_until  INTEGER,
    closed_reason TEXT,
    -- GCRA state, microseconds; written with the claims it allowed.
    arrival_us  INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE template (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE app (
    name        TEXT PRIMARY KEY,
    -- Which settings were halted: other settings lift the halt by themselves.
    fingerprint TEXT,
    halted_at   INTEGER,
    halt_reason TEXT
) WITHOUT ROWID, STRICT;

CREATE TABLE token (
    app        TEXT PRIMARY KEY,
    -- Which account it was fetched for: the app may be configured to another since.
    account    TEXT    NOT NULL,
    value      TEXT,
    generation INTEGER NOT NULL,
    fetched_at INTEGER,
    expires_at INTEGER,
    -- The day of the provider's calendar that `fetches` counts.
    day        INTEGER NOT NULL,
    fetches    INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

-- Narrow on purpose: every claim and every outcome rewrites this row. What is read once stands in `body`.
-- AUTOINCREMENT, because a rowid that comes back after a purge would break the fence and the audit.
CREATE TABLE message (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    channel_id   INTEGER NOT NULL,
    template_id  INTEGER NOT NULL,
    recipient    TEXT    NOT NULL,
    state        INTEGER NOT NULL,
    priority     INTEGER NOT NULL,
    due_at       INTEGER NOT NULL,
    generation   INTEGER NOT NULL DEFAULT 0,
    attempts     INTEGER NOT NULL DEFAULT 0,
    rescues      INTEGER NOT NULL DEFAULT 0,
    ambiguous    INTEGER NOT NULL DEFAULT 0,
    claimed_at   INTEGER,
    -- The first try that may have reached the provider: where its dedupe window begins.
    first_try_at INTEGER,
    expires_at   INTEGER,
    created_at   INTEGER NOT NULL,
    finished_at  INTEGER,
    reason       TEXT,
    detail       TEXT,
    provider_id  TEXT,
    run_id       INTEGER
) STRICT;

CREATE INDEX message_scheduled ON message (due_at, id) WHERE state = 0;
CREATE INDEX message_queued    ON message (channel_id, priority DESC, due_at, id) WHERE state = 1;
CREATE INDEX message_waiting   ON message (recipient, id) WHERE state = 2;
CREATE INDEX message_sending   ON message (id) WHERE state = 3;
CREATE INDEX message_expiring  ON message (expires_at, id) WHERE expires_at IS NOT NULL AND state IN (0, 1, 2, 4);
CREATE INDEX message_finished  ON message (finished_at, id) WHERE state >= 5;

CREATE TABLE body (
    message_id INTEGER PRIMARY KEY,
    data       TEXT NOT NULL
) STRICT;

-- Only attempts that say something: a success at the first try is told by its message row.
CREATE TABLE attempt (
    message_id INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER NOT NULL,
    outcome    TEXT    NOT NULL,
    detail     TEXT    NOT NULL,
    PRIMARY KEY (message_id, generation)
) WITHOUT ROWID, STRICT;

-- Apart from `message`, so that removing old messages does not shorten the promise.
CREATE TABLE idempotency (
    key        TEXT PRIMARY KEY,
    message_id INTEGER NOT NULL,
    body_hash  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

CREATE INDEX idempotency_expiring ON idempotency (expires_at);

CREATE TABLE credential (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    app              TEXT    NOT NULL,
    source           TEXT    NOT NULL,
    recipient        TEXT    NOT NULL,
    scope            TEXT,
    value            TEXT    NOT NULL,
    identity         TEXT,
    uses_left        INTEGER NOT NULL,
    expires_at       INTEGER,
    bound_to         INTEGER,
    created_at       INTEGER NOT NULL,
    UNIQUE (app, source, identity)
) STRICT;

CREATE INDEX credential_free  ON credential (recipient, app, source, expires_at) WHERE bound_to IS NULL AND uses_left > 0;
-- One credential serves one message, and one message has one credential: the ledger's promise, kept by the file.
CREATE UNIQUE INDEX credential_bound ON credential (bound_to) WHERE bound_to IS NOT NULL;
CREATE INDEX credential_expiring ON credential (expires_at) WHERE expires_at IS NOT NULL AND uses_left > 0;
CREATE INDEX credential_used ON credential (created_at) WHERE uses_left = 0;

CREATE TABLE schedule (
    name       TEXT PRIMARY KEY,
    definition TEXT NOT NULL,
    -- The last nominal time that has a verdict. It never moves back.
    cursor_at  INTEGER NOT NULL,
    next_at    INTEGER,
    paused_at  INTEGER,
    pause_note TEXT
) WITHOUT ROWID, STRICT;

CREATE TABLE run (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    schedule   TEXT    NOT NULL,
    nominal_at INTEGER NOT NULL,
    job        TEXT    NOT NULL,
    -- 0 running, 1 done, 2 failed
    state      INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER,
    done       INTEGER NOT NULL DEFAULT 0,
    total      INTEGER,
    result     TEXT
) STRICT;

CREATE INDEX run_running ON run (id) WHERE state = 0;
CREATE INDEX run_of_schedule ON run (schedule, id);

-- Every nominal time has one verdict, and the key is what makes it one.
CREATE TABLE firing (
    schedule   TEXT    NOT NULL,
    nominal_at INTEGER NOT NULL,
    verdict    TEXT    NOT NULL,
    decided_at INTEGER NOT NULL,
    run_id     INTEGER,
    PRIMARY KEY (schedule, nominal_at)
) WITHOUT ROWID, STRICT;

-- How many messages of a channel are in a state, kept by the writer in each transaction: lists and screens never count.
CREATE TABLE tally (
    channel_id INTEGER NOT NULL,
    state      INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    PRIMARY KEY (channel_id, state)
) WITHOUT ROWID, STRICT;
