-- The cursor never moves back, whatever the clock does. What operators asked for is counted down, and is over when it
-- is done; the rest of it is theirs.
-- Unlike SQLite's it counts down only where the cursor moves: another node may have passed the same times before.
WITH j (name, definition, cursor_at, next_at, skipped, backfill_at)
    AS (SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]))
INSERT INTO schedule AS s (name, definition, cursor_at, next_at, skips, backfill_at)
SELECT name, definition, cursor_at, next_at, -skipped, backfill_at FROM j ORDER BY name
ON CONFLICT (name) DO UPDATE
SET definition = excluded.definition,
    cursor_at = greatest(s.cursor_at, excluded.cursor_at),
    next_at = excluded.next_at,
    skips = greatest(0, s.skips + CASE WHEN excluded.cursor_at > s.cursor_at THEN excluded.skips ELSE 0 END),
    backfill_at = coalesce(excluded.backfill_at, s.backfill_at),
    removed_at = NULL
