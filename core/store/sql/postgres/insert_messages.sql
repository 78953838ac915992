-- Unlike SQLite's with ids, bodies and keys: it does in one round trip what insert_messages.sql, insert_bodies.sql and
-- insert_keys.sql do there, and all of a transaction that does nothing else. What it does, and with what, stands where the
-- function is made (migrations/postgres/0005_keys.sql).
-- $1 to $14: the messages  $15: now  $16: under which number they are counted; null if that is done elsewhere
SELECT accepted
FROM tidings_accept($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                    $8::bigint[], $9::bigint[], $10::text[], $11::text[], $12::text[], $13::bigint[], $14::bigint[],
                    $15, $16) AS accepted
