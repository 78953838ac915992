-- Something changed that every node keeps in memory.
UPDATE change SET version = version + 1 RETURNING version
