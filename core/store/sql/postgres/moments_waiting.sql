-- Since when they wait. Who was woken and found nothing waits since before; who went on and comes back waits anew.
-- $1: [id, …]  $2: now
INSERT INTO moment (message_id, what, at)
SELECT value::bigint, 'waiting', $2 FROM json_array_elements_text($1::json)
ON CONFLICT (message_id, what) DO UPDATE SET at = excluded.at
WHERE EXISTS (
    SELECT FROM moment AS b WHERE b.message_id = moment.message_id AND b.what = 'bound' AND b.at >= moment.at
)
