-- What operators do to schedules, and what became of every nominal time.

-- Who paused it: since when and why is known already.
ALTER TABLE schedule ADD COLUMN paused_by TEXT;
-- Nominal times that an operator has it leave out, from the next one on: how many are left, who said so, and why.
ALTER TABLE schedule ADD COLUMN skips INTEGER NOT NULL DEFAULT 0;
ALTER TABLE schedule ADD COLUMN skip_by TEXT;
ALTER TABLE schedule ADD COLUMN skip_note TEXT;
-- Nominal times of the past that an operator has it run, up to and with `backfill_until`, and the last that was passed.
ALTER TABLE schedule ADD COLUMN backfill_until INTEGER;
ALTER TABLE schedule ADD COLUMN backfill_at INTEGER;
ALTER TABLE schedule ADD COLUMN backfill_by TEXT;
ALTER TABLE schedule ADD COLUMN backfill_note TEXT;
-- Since when config has no such schedule.
ALTER TABLE schedule ADD COLUMN removed_at INTEGER;

-- How long after its time it was decided, less what its jitter asked for.
ALTER TABLE firing ADD COLUMN late_ms INTEGER;

-- The oldest nominal times of a long outage, in one row: none of them ran, and none has a row in `firing`. One that is run
-- after all gets its row there, and leaves the count.
CREATE TABLE firing_span (
    schedule   TEXT    NOT NULL,
    first_at   INTEGER NOT NULL,
    last_at    INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    verdict    TEXT    NOT NULL,
    decided_at INTEGER NOT NULL,
    PRIMARY KEY (schedule, last_at)
) WITHOUT ROWID, STRICT;

-- Where the messages of a recipient may be, of every block of 8192 ids that is complete, by part of the recipients
-- (core/model/src/signpost.rs). The id is the part times 2^40 and the block: what one look reads stands together. No index
-- by recipient: each message would be written into it at a place of its own.
CREATE TABLE signpost (
    id    INTEGER PRIMARY KEY,
    marks BLOB NOT NULL
) STRICT;

-- What happened to a message besides attempts and acts, each at most once, so that a history is bounded: since when it
-- waits for a credential, what it then went on with, when it was sent that has a receipt, and a receipt that says no.
-- Everything else stands in the message. Leaves with it.
CREATE TABLE moment (
    message_id INTEGER NOT NULL,
    -- 'waiting', 'bound', 'sent' or 'bounced'
    what       TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    detail     TEXT,
    PRIMARY KEY (message_id, what)
) WITHOUT ROWID, STRICT;
