-- Whether the lease of another node is over: orphans.sql may find something of it. $1: this node
SELECT EXISTS (SELECT FROM node WHERE lease_until <= tidings_now() AND id <> $1)
