-- What those went on with who had waited. $1: [[id, detail], …]  $2: now
INSERT INTO moment (message_id, what, at, detail)
SELECT (value ->> 0)::bigint, 'bound', $2, value ->> 1 FROM json_array_elements($1::json)
ON CONFLICT (message_id, what) DO UPDATE SET at = excluded.at, detail = excluded.detail
