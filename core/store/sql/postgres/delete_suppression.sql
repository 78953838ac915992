DELETE FROM suppression WHERE app = $1 AND recipient = $2
