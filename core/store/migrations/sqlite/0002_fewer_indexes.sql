-- Each of these cost a write at every message or credential, to be read once in a while. What leaves by age is found by
-- walking its table from the oldest row on, a slice at a time.
DROP INDEX message_finished;
DROP INDEX idempotency_expiring;
DROP INDEX credential_expiring;
DROP INDEX credential_used;
