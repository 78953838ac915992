-- Writes a token, unless a newer one is there: then no row is written. With a new generation the right to fetch ends.
-- $1: app  $2: value  $3: generation  $4: fetched at  $5: expires at  $6: day  $7: fetches  $8: account
INSERT INTO token AS t (app, value, generation, fetched_at, expires_at, day, fetches, account)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (app) DO UPDATE
SET value = excluded.value, generation = excluded.generation, fetched_at = excluded.fetched_at,
    expires_at = excluded.expires_at, day = excluded.day, fetches = excluded.fetches, account = excluded.account,
    fetching_node = CASE WHEN excluded.generation > t.generation THEN NULL ELSE t.fetching_node END,
    fetching_until = CASE WHEN excluded.generation > t.generation THEN NULL ELSE t.fetching_until END
WHERE t.generation <= excluded.generation
