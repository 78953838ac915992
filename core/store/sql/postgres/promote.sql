-- Nothing is left to do: due.sql makes them due and counts them in one statement, and says why. $1: now  $2: at most
SELECT WHERE $1::bigint IS NULL AND $2::bigint IS NULL
