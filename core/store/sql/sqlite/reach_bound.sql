-- The permits of one recipient that messages hold, among the newest so many that are held at all: about as many as are
-- on their way, and those that are kept after a try that nobody can judge yet.
-- ?1: recipient  ?2: at most
SELECT json_group_array(json_array(c.id, c.source, c.bound_to, m.template_id, m.state))
FROM (
    SELECT bound_to FROM credential INDEXED BY credential_bound
    WHERE bound_to IS NOT NULL
    ORDER BY bound_to DESC
    LIMIT ?2 + 0
) AS b
CROSS JOIN credential AS c ON c.bound_to = b.bound_to
CROSS JOIN message AS m ON m.id = b.bound_to
WHERE c.recipient = ?1
