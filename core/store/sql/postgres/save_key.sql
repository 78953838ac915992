INSERT INTO api_key (name, hash, scopes, created_at, created_by, expires_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (name) DO UPDATE
SET hash = excluded.hash, scopes = excluded.scopes, created_at = excluded.created_at,
    created_by = excluded.created_by, expires_at = excluded.expires_at, revoked_at = NULL
