-- Which of these identities the ledger has, used or not. ?1: app  ?2: source  ?3: [identity, …]
SELECT json_group_array(c.identity)
FROM json_each(?3) AS j
CROSS JOIN credential AS c ON c.app = ?1 AND c.source = ?2 AND c.identity = j.value
