-- Those whose time is over hold nobody any more. ?1: now  ?2: at most
DELETE FROM suppression
WHERE (app, recipient) IN (SELECT app, recipient FROM suppression WHERE expires_at <= ?1 LIMIT ?2)
