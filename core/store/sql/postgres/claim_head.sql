-- The head of a channel, with what is bound to each message already: a credential that was kept after an ambiguous try
-- goes out with its own message again. What was never claimed has none. $1: channel  $2: now  $3: at most
-- Unlike SQLite's it locks what it answers with, and steps over what another node has locked. A channel that is paused
-- or closed answers with nothing: another node may have done that.
WITH head AS MATERIALIZED (
    SELECT m.id, m.generation, m.template_id, m.recipient, m.attempts, m.rescues, m.ambiguous, m.first_try_at,
           m.expires_at, m.created_at, m.data, m.trace, m.reason, m.priority, m.due_at
    FROM message AS m
    WHERE m.state = 1 AND m.channel_id = $1 AND (m.expires_at IS NULL OR m.expires_at > $2)
      AND (SELECT c.paused_at IS NULL AND (c.closed_until IS NULL OR c.closed_until <= $2)
           FROM channel AS c WHERE c.id = $1)
    ORDER BY m.priority DESC, m.due_at, m.id
    LIMIT $3
    FOR UPDATE OF m SKIP LOCKED
)
SELECT coalesce(json_agg(json_build_array(h.id, h.generation, h.template_id, h.recipient, h.attempts, h.rescues,
                                          h.ambiguous, h.first_try_at, h.expires_at, h.created_at, h.data, c.id,
                                          c.source, c.value, c.expires_at, c.created_at, h.trace,
                                          (h.reason = 'no_credential')::int, h.priority, h.due_at)
                         ORDER BY h.priority DESC, h.due_at, h.id), '[]')::text
FROM head AS h
LEFT JOIN LATERAL (
    SELECT * FROM credential WHERE bound_to = CASE WHEN h.generation > 0 THEN h.id END OFFSET 0
) AS c ON true
