-- Locks a channel until the transaction ends, and answers when its rate lets the next one go and how many of it are on
-- their way, over all nodes: rates and bounds hold for all of them together. $1: channel
SELECT arrival_us, in_flight FROM tidings_lane($1)
