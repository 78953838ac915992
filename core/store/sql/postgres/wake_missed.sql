-- Messages that began to wait in a transaction of this node, looked at once more in its next one: a permit that another
-- node took in or freed meanwhile saw nobody to wake, and was seen by nobody. The node that had the permit does the
-- same with wake_waiting.sql: whoever commits last sees the other. What was free when they began to wait does not fit
-- them.
-- $1: app  $2: {source: usable only if it ends after, …}  $3: [message id, …]  $4: [permit that was free then, …]
WITH s AS MATERIALIZED (SELECT key AS source, value::bigint AS ends_after FROM json_each_text($2::json)),
woken AS MATERIALIZED (
    SELECT m.id
    FROM message AS m
    WHERE m.state = 2 AND m.id = ANY (ARRAY(SELECT value::bigint FROM json_array_elements_text($3::json)))
      AND EXISTS (
          SELECT
          FROM credential AS c
          JOIN s ON s.source = c.source
          WHERE c.recipient = m.recipient AND c.app = $1 AND c.bound_to IS NULL AND c.uses_left > 0
            AND (c.expires_at IS NULL OR c.expires_at > s.ends_after)
            AND c.id <> ALL (ARRAY(SELECT value::bigint FROM json_array_elements_text($4::json)))
      )
    ORDER BY m.id
    FOR UPDATE OF m
)
UPDATE message
SET state = 1
WHERE state = 2 AND id = ANY (ARRAY(SELECT id FROM woken))
RETURNING channel_id
