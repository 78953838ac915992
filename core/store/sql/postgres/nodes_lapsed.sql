-- Whether the lease of another node ended lately: orphans.sql may find something of it. A lease that was ended is at 0.
-- $1: this node  $2: what is lately, ms
SELECT EXISTS (
    SELECT
    FROM node
    WHERE lease_until <= tidings_now() AND greatest(lease_until, renewed_at) + $2 > tidings_now() AND id <> $1
)
