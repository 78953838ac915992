-- All nodes, those that are gone too until nodes_gone.sql forgets them, and the database's time.
SELECT id, name, version, config, started_at, renewed_at, lease_until, draining, in_flight, sent_per_s, address,
       tidings_now() AS now
FROM node
ORDER BY id
