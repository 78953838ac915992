-- Takes them for one attempt each, and binds to each the credential that was chosen for it; one that was kept is bound
-- already. $3: now  $4: the node that sends them  $5: its transaction
-- Unlike SQLite's it says whose they are: another node may come to look after them. It takes none for a node whose lease
-- is over: they would be others' to take over at once. And it looks at each credential once more: another node may have
-- bound it, used it up or dropped it since it was chosen. One that another node has locked is not waited for: that node may
-- be waiting for the channel. It does in one round trip what claim_bind.sql and claim.sql do
-- there, and answers with how many it took and bound.
-- `+ 0` keeps the planner from walking all of an index for what is in it: each id is looked up.
WITH j (message_id, credential_id) AS (SELECT * FROM unnest($1::bigint[], $2::bigint[])),
held AS MATERIALIZED (
    SELECT c.id, j.message_id
    FROM j
    CROSS JOIN LATERAL (
        SELECT id FROM credential WHERE id = j.credential_id OFFSET 0 FOR UPDATE SKIP LOCKED
    ) AS c
),
bound AS (
    UPDATE credential
    SET bound_to = j.message_id
    FROM held AS j
    WHERE credential.id = j.id
      AND (credential.bound_to IS NULL OR credential.bound_to = j.message_id)
      AND credential.uses_left + 0 > 0
    RETURNING 1
),
taken AS (
    UPDATE message_hot
    SET state        = 3,
        generation   = generation + 1,
        claimed_at   = $3,
        node_id      = $4,
        claim        = $5,
        first_try_at = CASE ambiguous WHEN 1 THEN first_try_at ELSE $3 END
    WHERE state + 0 = 1 AND id = ANY ($1::bigint[])
      AND (SELECT lease_until > tidings_now() FROM node WHERE node.id = $4)
    RETURNING 1
)
SELECT (SELECT count(*) FROM taken), (SELECT count(*) FROM bound)
