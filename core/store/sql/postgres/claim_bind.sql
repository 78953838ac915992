-- Binds each credential to its message. One that was kept is bound already.
WITH j (credential_id, message_id) AS (SELECT * FROM unnest($1::bigint[], $2::bigint[]))
UPDATE credential
SET bound_to = j.message_id
FROM j
WHERE credential.id = j.credential_id
  AND (credential.bound_to IS NULL OR credential.bound_to = j.message_id)
