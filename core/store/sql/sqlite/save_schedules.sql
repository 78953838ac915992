-- The cursor never moves back, whatever the clock does. What operators asked for is counted down, and is over when it is
-- done; the rest of it is theirs.
WITH j (name, definition, cursor_at, next_at, skipped, backfill_at) AS (VALUES (?, ?, ?, ?, ?, ?))
INSERT INTO schedule (name, definition, cursor_at, next_at, skips, backfill_at)
SELECT name, definition, cursor_at, next_at, -skipped, backfill_at FROM j WHERE name IS NOT NULL
ON CONFLICT (name) DO UPDATE
SET definition = excluded.definition,
    cursor_at = max(cursor_at, excluded.cursor_at),
    next_at = excluded.next_at,
    skips = max(0, skips + excluded.skips),
    backfill_at = coalesce(excluded.backfill_at, backfill_at),
    removed_at = NULL
