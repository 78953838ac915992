INSERT INTO suppression (app, recipient, reason, who, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (app, recipient) DO UPDATE
SET reason = excluded.reason, who = excluded.who, created_at = excluded.created_at, expires_at = excluded.expires_at
