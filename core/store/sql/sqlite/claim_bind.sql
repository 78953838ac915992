-- Binds each credential to its message and to the generation the claim gives it. ?1: [[credential, message, generation], …]
UPDATE credential
SET bound_to = j.value ->> 1, bound_generation = j.value ->> 2
FROM json_each(?1) AS j
WHERE credential.id = j.value ->> 0
  AND (credential.bound_to IS NULL OR credential.bound_to = j.value ->> 1)
