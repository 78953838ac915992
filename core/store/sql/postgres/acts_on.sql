-- The first acts that moved a message, in order. $1: message  $2: how many
SELECT a.id, a.at, a.who, a.act, a.subject, a.why, a.detail, a.count
FROM acted
JOIN audit AS a ON a.id = acted.audit_id
WHERE acted.message_id = $1
ORDER BY acted.audit_id
LIMIT $2
