-- Binds each credential to its message. One that was kept is bound already. ?1: [[credential, message], …]
UPDATE credential
SET bound_to = j.value ->> 1
FROM json_each(?1) AS j
WHERE credential.id = j.value ->> 0
  AND (credential.bound_to IS NULL OR credential.bound_to = j.value ->> 1)
