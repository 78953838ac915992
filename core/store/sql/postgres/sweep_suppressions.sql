-- Those whose time is over hold nobody any more. $1: now  $2: at most
DELETE FROM suppression
USING (SELECT app, recipient FROM suppression WHERE expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED) AS over
WHERE suppression.app = over.app AND suppression.recipient = over.recipient
