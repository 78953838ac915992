-- Messages that stopped short of being sent (held, failed, unknown, expired, cancelled) are looked at by reason, listed,
-- and retried in bulk. Each index holds them alone: a message on its way never enters it. The states are joined by OR,
-- because SQLite sees that `state = 7` is one of several ORs, and does not see it of a list.

-- For the groups. When each ended, or was due, stands in it, so that a group is counted without its rows.
CREATE INDEX message_dead_reason ON message (state, channel_id, reason, template_id, finished_at, due_at)
    WHERE state = 4 OR state = 7 OR state = 8 OR state = 9 OR state = 10;

-- For lists, newest first, and for bulk acts, oldest first, which say whether any of them may have arrived.
CREATE INDEX message_dead ON message (state, id, channel_id, reason, template_id, ambiguous)
    WHERE state = 4 OR state = 7 OR state = 8 OR state = 9 OR state = 10;

-- A nominal time has one run, as it has one verdict. No file has two: a run never began without its verdict.
CREATE UNIQUE INDEX run_once ON run (schedule, nominal_at);
