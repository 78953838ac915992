-- Takes over what nodes whose lease is over left in the middle of an attempt, with the credential each had. The
-- generation goes up: what the old node still says of them passes no fence. $1: the node that takes them  $2: at most
-- $3: the number under which it takes them, below zero  $4: [number under which it took some and heard no answer, …]
-- $5: [channel whose messages it takes, …], null for all
-- SQLite's only looks: there it is sure at a start that nobody else is at work. Here a node that is just renewing its
-- lease has locked its row, and is not lapsed; one that is locked here finds its lease over when it comes to renew it.
-- Of the nodes that are not there at all those that came after this began are none.
WITH lapsed AS MATERIALIZED (
    SELECT id FROM node WHERE lease_until <= tidings_now() AND id <> $1 ORDER BY id FOR UPDATE SKIP LOCKED
),
lost AS MATERIALIZED (
    SELECT id
    FROM message
    WHERE state = 3
      AND (
          node_id = $1 AND claim = ANY (ARRAY(SELECT value::bigint FROM json_array_elements_text($4::json)))
          OR (
              node_id IS NULL
              OR node_id = ANY (ARRAY(SELECT id FROM lapsed))
              OR node_id <> ALL (ARRAY(SELECT id FROM node)) AND node_id < (SELECT max(id) FROM node)
          ) AND (
              $5::text = 'null'
              OR channel_id = ANY (ARRAY(SELECT value::bigint FROM json_array_elements_text(nullif($5::text, 'null')::json)))
          )
      )
    ORDER BY id
    LIMIT $2
    FOR UPDATE SKIP LOCKED
),
taken AS (
    UPDATE message
    SET node_id = $1, claim = $3, generation = generation + 1
    WHERE state = 3 AND id = ANY (ARRAY(SELECT id FROM lost))
    RETURNING id, generation, channel_id, template_id, attempts, rescues, ambiguous, claimed_at, first_try_at,
              expires_at, recipient
)
SELECT m.id, m.generation, m.channel_id, m.template_id, m.attempts, m.rescues, m.ambiguous, m.claimed_at,
       m.first_try_at, m.expires_at, c.source, c.expires_at AS credential_expires_at,
       c.created_at AS taken_at, m.recipient
FROM taken AS m
LEFT JOIN credential AS c ON c.bound_to = m.id
ORDER BY m.id
