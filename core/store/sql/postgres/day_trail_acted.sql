-- What operators did to the messages of a day that is to be dropped. {table}: the day's table, detached
DELETE FROM acted WHERE message_id IN (SELECT id FROM {table})
