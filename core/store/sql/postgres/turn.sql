-- A turn of the queue: outcomes, and the claims that they make room for. What it does, and with what, stands where the function is
-- made (migrations/postgres/0003_turns.sql). SQLite has none: a round trip there is a hop to another thread.
-- $1 to $15: outcomes, as settle.sql and insert_attempts.sql have them  $16: moves  $17: asks  $18: now  $19: the node
-- $20: its transaction
SELECT ahead, rooms, taken, bound, passed
FROM tidings_turn($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                  $8::bigint[], $9::text[], $10::text[], $11::text[], $12::bigint[], $13::bigint[], $14::bigint[],
                  $15::text[], $16::jsonb, $17::jsonb, $18, $19, $20)
