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
    -- The line they are times of: another line may have times between them.
    definition TEXT    NOT NULL,
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

-- What runs do, and how far they are.

-- Steps of a broadcast that are on disk: each is done once. Below zero for one that an earlier program began, which kept
-- no place: nobody can go on with it.
ALTER TABLE run ADD COLUMN step INTEGER NOT NULL DEFAULT 0;
-- Where in its audience it goes on, as the engine writes it.
ALTER TABLE run ADD COLUMN place TEXT;
-- What became of its rows.
ALTER TABLE run ADD COLUMN accepted   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN duplicates INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN suppressed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN refused    INTEGER NOT NULL DEFAULT 0;
-- Its messages lie from the one to the other, among those of others.
ALTER TABLE run ADD COLUMN first_message INTEGER;
ALTER TABLE run ADD COLUMN last_message  INTEGER;
-- Who could be reached when it began: a JSON object, as the engine writes it.
ALTER TABLE run ADD COLUMN preflight TEXT;
ALTER TABLE run ADD COLUMN deadline_at INTEGER;
-- How often it went on after the engine had stopped in the middle of it.
ALTER TABLE run ADD COLUMN resumed INTEGER NOT NULL DEFAULT 0;
-- Lines of its log, with those that were left out.
ALTER TABLE run ADD COLUMN log_lines INTEGER NOT NULL DEFAULT 0;

UPDATE run SET step = -1 WHERE state = 0;

-- 0 running, 1 done, 2 failed, 3 cancelled, 4 interrupted
DROP INDEX run_running;
CREATE INDEX run_by_state ON run (state, id);
CREATE INDEX run_of_schedule_by_state ON run (schedule, state, id);

-- What a run has to say, line by line; leaves with it.
CREATE TABLE run_log (
    run_id INTEGER NOT NULL,
    -- From 1, in the order they were written.
    line   INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    -- 0 for the story, 1 for what wants a look.
    level  INTEGER NOT NULL,
    text   TEXT    NOT NULL,
    PRIMARY KEY (run_id, line)
) WITHOUT ROWID, STRICT;
