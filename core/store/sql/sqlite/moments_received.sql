-- Before receipts are written: when each was sent, which the receipt's time takes the place of, and what did not arrive.
-- ?1: [[id, from, to, reason, detail], …]  ?2: now
INSERT OR REPLACE INTO moment (message_id, what, at, detail)
SELECT m.id, 'sent', m.finished_at, NULL
FROM json_each(?1) AS j
CROSS JOIN message AS m ON m.id = j.value ->> 0
WHERE j.value ->> 1 = 5 AND m.finished_at IS NOT NULL
UNION ALL
SELECT j.value ->> 0, 'bounced', ?2, j.value ->> 4 FROM json_each(?1) AS j WHERE j.value ->> 2 = 7
