-- Whether something changed that every node keeps in memory.
SELECT version FROM change
