-- The moments of a day that is to be dropped. {table}: the day's table, detached
DELETE FROM moment WHERE message_id IN (SELECT id FROM {table})
