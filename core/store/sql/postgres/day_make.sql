-- Makes a day of history, if it is not there. $1: message_done or message_failed  $2: the day's first millisecond, UTC
SELECT tidings_day($1, $2)
