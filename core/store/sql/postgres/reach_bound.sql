-- The permits of one recipient that messages hold, among the newest so many that are held at all: about as many as are
-- on their way, and those that are kept after a try that nobody can judge yet.
-- $1: recipient  $2: at most
SELECT coalesce(json_agg(json_build_array(c.id, c.source, c.bound_to, m.template_id, m.state)), '[]')::text
FROM (
    SELECT id, recipient, source, bound_to
    FROM credential
    WHERE bound_to IS NOT NULL
    ORDER BY bound_to DESC
    LIMIT $2
) AS c
CROSS JOIN LATERAL (SELECT template_id, state FROM message WHERE id = c.bound_to OFFSET 0) AS m
WHERE c.recipient = $1
