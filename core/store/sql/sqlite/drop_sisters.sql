-- The provider counts these itself and says that none is left: what the ledger still holds of the same kind for the
-- same user is worth nothing. Those bound to a message on its way are settled with it.
-- A grant that came after the send went out was not counted by that answer: it stays.
-- ?1: [[message id, when the attempt began], …], settled, but their credentials not yet
UPDATE credential
SET uses_left = 0
WHERE id IN (
    SELECT sister.id
    FROM json_each(?1) AS j
    JOIN credential AS mine ON mine.bound_to = j.value ->> 0
    JOIN credential AS sister
      ON sister.recipient = mine.recipient AND sister.app = mine.app AND sister.source = mine.source
     AND sister.scope IS mine.scope
    WHERE sister.bound_to IS NULL AND sister.uses_left > 0 AND sister.created_at <= j.value ->> 1
)
