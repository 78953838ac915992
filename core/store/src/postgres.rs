//! The PostgreSQL store: opening it, and what is true of every connection to it.
//!
//! Several engines share one database. Each is a node with a lease (`lease.rs`); what it claimed is its own as long as it
//! renews that. A writer has one connection of its own, and so has the lease; readers share a pool. Nothing is held by a
//! session that a pooler in transaction mode would lose: locks end with their transaction, and whoever cannot listen asks
//! again in time. What a session has besides, settings and prepared statements, each transaction through a pooler brings or
//! goes without (`../sql/session.rs`).

mod bell;
mod days;
mod lease;
mod plans;
mod server;

use tidings_model::Timestamp;

use crate::batch::Swept;
use crate::error::{StoreError, TRIES_MAX};
use crate::shared::{self, Reader, Writer};
use crate::sql::{Backend, Connection, Pool, Way, both, json, sql};
use crate::sqlite::{Examined, Mark};
pub(crate) use bell::Bell;
pub(crate) use days::{Days, HISTORIES, histories_day};
pub(crate) use lease::Membership;
pub use lease::TAKEN_OVER_MAX;
pub use lease::{LEASE, Lease, NodeName, Standing};
use plans::Plans;
use server::Server;

/// Every schema there was, oldest first: the number in the database is how many of them it has.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/postgres/0001_first.sql"),
    include_str!("../migrations/postgres/0002_fewer_index_writes.sql"),
    include_str!("../migrations/postgres/0003_turns.sql"),
    include_str!("../migrations/postgres/0004_queued_recipients.sql"),
    include_str!("../migrations/postgres/0005_keys.sql"),
];

/// Whoever upgrades the schema has this lock, so that one of several nodes does it.
const UPGRADE_LOCK: i64 = 0x7469_6469_6e67_7301;

/// Reader connections of a node.
const READERS_MAX: u32 = 5;

/// What a connection is called on the server that is no engine's.
const NO_NODE: &str = "tidings";

/// A database, and what belongs to this node's use of it.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) access: Access,
    pub(crate) membership: Membership,
    pub(crate) days: Days,
    pub(crate) bell: Bell,
}

/// How a connection that writes is made and kept.
#[derive(Debug)]
pub(crate) struct Access {
    server: Server,
    plans: Plans,
}

impl Access {
    fn new(server: Server) -> Access {
        Access { server, plans: Plans::none() }
    }

    /// Whether it has a session of its own: a statement in no transaction is one, and needs nothing set.
    pub(crate) fn is_direct(&self) -> bool {
        self.server.way() == Way::Direct
    }

    /// For another connection to the same.
    pub(crate) fn another(&self) -> Access {
        Access::new(self.server.clone())
    }

    pub(crate) async fn connect(&self) -> Result<Connection, StoreError> {
        self.server.connect().await
    }

    /// Has the server end what it still has for connections that were given up ([`Server::lay_to_rest`]).
    pub(crate) async fn lay_to_rest(
        &self,
        connection: &mut Connection,
        left: &mut Vec<Backend>,
    ) -> Result<(), StoreError> {
        self.server.lay_to_rest(connection, left).await
    }

    /// Has a transaction that may read so many rows planned by how many there are now.
    pub(crate) async fn renew_plans(&mut self, connection: &mut Connection, rows: i64) -> Result<(), StoreError> {
        match self.server.way() {
            Way::Direct => self.plans.renew(connection, rows).await,
            // Nothing has a name there, and everything is planned each time.
            Way::Pooled => Ok(()),
        }
    }
}

impl Home {
    /// What is told while the server has no room: its keeper's business.
    pub(crate) fn full(&self) -> StoreError {
        StoreError::Full { path: self.access.server.shown().to_owned() }
    }

    /// Has the days of history leave that are old, aside, and tells what left of those of the last time.
    pub(crate) async fn sweep_days(&mut self, done_before: Timestamp, failed_before: Timestamp) -> Swept {
        self.days.sweep(&self.access.server, done_before, failed_before).await
    }

    /// Undoes the claims of those numbers that landed: their messages go back to the queue, and what was bound to them to
    /// the ledger. How many there were, and whose credentials are free again.
    pub(crate) async fn release_claims(
        &self,
        connection: &mut Connection,
        claims: &[i64],
    ) -> Result<(u64, Vec<String>), StoreError> {
        let action = "undo claims that nobody was told of";
        let mut tries = 1;
        loop {
            let query = sql!(postgres "release_claims").query().bind(self.membership.node()).bind(json(&claims));
            match query.fetch_one(connection).await.map_err(StoreError::during(action)) {
                Ok(row) => return Ok((row.get(0), row.json(1, action)?)),
                Err(error) if error.is_contention() && tries < TRIES_MAX => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

/// Opens the store at `postgres://…`, making or upgrading its schema if need be, and joins as a node.
///
/// # Errors
///
/// [`StoreError::Newer`] if a newer program made its schema, [`StoreError::Unsafe`] if the server does not do what safety
/// needs, and [`StoreError::Unreachable`] if it does not answer.
pub(crate) async fn open(url: &str, node: NodeName) -> Result<(Writer, Reader), StoreError> {
    let (server, mut connection) = Server::find(url, &format!("tidings {}", node.name), node.lease).await?;
    if server.way() == Way::Pooled {
        tracing::info!(
            store = server.shown(),
            "the store is behind a pooler: each transaction brings its settings, and other engines are found by looking"
        );
    }
    migrate(&mut connection, server.shown(), MIGRATIONS).await?;
    if moving(&mut connection).await?.is_some() {
        return Err(StoreError::Incomplete { server: server.shown().to_owned() });
    }
    let pool = Pool::Postgres(server.pool(READERS_MAX).await?, server.way());
    let membership = Membership::join(&mut connection, server.clone(), node).await?;
    membership.look_who_leads(&mut connection).await?;
    let bell = Bell::hang(pool.clone(), (server.way() == Way::Direct).then(|| server.clone()), membership.node());
    let home = Home { access: Access::new(server), membership, days: Days::default(), bell };
    let writer = Writer::begin(connection, shared::Home::Server(Box::new(home))).await?;
    let lease = writer.lease();
    Ok((writer, Reader::new(pool, lease)))
}

/// The name of the move into this database that was begun and did not end.
async fn moving(connection: &mut Connection) -> Result<Option<String>, StoreError> {
    both("SELECT value FROM meta WHERE key = 'moving'")
        .fetch_optional_scalar(connection)
        .await
        .map_err(StoreError::during("look whether the store is complete"))
}

/// What a store has in it that is not empty.
const FILLED: &str = "SELECT EXISTS (SELECT FROM meta WHERE key = 'instance') OR EXISTS (SELECT FROM node)
    OR EXISTS (SELECT FROM channel) OR EXISTS (SELECT FROM message) OR EXISTS (SELECT FROM credential)";

/// Everything that a move writes.
const EMPTY: &str = "TRUNCATE channel, template, app, token, message, attempt, acted, moment, idempotency, credential,
    credential_identity, schedule, run, run_log, firing, firing_span, tally, receipt, audit, api_key, suppression, notice, webhook;
    DELETE FROM meta WHERE key = 'instance'";

/// A database that a store is being moved into.
#[derive(Debug)]
pub(crate) struct Goal {
    pub(crate) connection: Connection,
    /// The database, for people: without a password.
    pub(crate) shown: String,
    /// The name of this move, which no other has.
    pub(crate) by: String,
}

/// Connects to an empty database that a store is to be moved into, makes the schema, and has it say that it is incomplete.
/// `None` if the file is marked by a move that has ended, or that is not this database's.
///
/// # Errors
///
/// [`StoreError::NotEmpty`] if there is more in it than a broken-off move left.
pub(crate) async fn begin_move(url: &str, mark: Option<&Mark>) -> Result<Option<Goal>, StoreError> {
    if !is_address(url) {
        return Err(StoreError::Address { url: url.to_owned() });
    }
    let (server, mut connection) = Server::find(url, NO_NODE, LEASE).await?;
    let found = match schema(&mut connection).await? {
        0 => None,
        _ => moving(&mut connection).await?,
    };
    let known = mark.map(|mark| mark.by.as_str());
    if known.is_some() && known != found.as_deref() {
        return Ok(None);
    }
    migrate(&mut connection, server.shown(), MIGRATIONS).await?;
    let during = || StoreError::during("begin to move a store");
    let filled: bool = both(FILLED).fetch_scalar(&mut connection).await.map_err(during())?;
    if found.is_some() {
        connection.run_script(EMPTY).await.map_err(during())?;
    } else if filled {
        return Err(StoreError::NotEmpty { server: server.shown().to_owned() });
    }
    // A move that goes on where a marked file broke off keeps its name. Any other has one of its own, so that a file which
    // was marked for what is emptied here is not taken for this one.
    let begin = "INSERT INTO meta (key, value) VALUES ('moving', coalesce($1, gen_random_uuid()::text))
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value RETURNING value";
    let by = both(begin).bind(known).fetch_scalar(&mut connection).await.map_err(during())?;
    Ok(Some(Goal { connection, shown: server.shown().to_owned(), by }))
}

impl Goal {
    /// Makes the statistics, so that the first plans are as good as the later.
    pub(crate) async fn analyze(&mut self) -> Result<(), StoreError> {
        let done = both("ANALYZE").execute(&mut self.connection).await;
        done.map(drop).map_err(StoreError::during("make the statistics of what was moved"))
    }

    /// The store is whole: engines may open it.
    pub(crate) async fn end_move(mut self) -> Result<(), StoreError> {
        let during = || StoreError::during("end the move of a store");
        let end = both("DELETE FROM meta WHERE key = 'moving' AND value = $1").bind(self.by);
        if end.execute(&mut self.connection).await.map_err(during())? == 0 {
            // Another move has emptied it meanwhile.
            return Err(StoreError::Incomplete { server: self.shown });
        }
        self.connection.close().await.map_err(during())
    }
}

/// Looks at the store of an address: whether it can be reached and whose schema it has.
pub(crate) async fn examine(url: &str) -> Result<Examined, StoreError> {
    let (server, mut connection) = Server::find(url, NO_NODE, LEASE).await?;
    let schema = schema(&mut connection).await?;
    let known = i64::try_from(MIGRATIONS.len()).expect("there are few migrations");
    if schema > known {
        return Err(StoreError::Newer { path: server.shown().to_owned(), found: schema, known });
    }
    if schema == 0 {
        return Ok(Examined::Absent);
    }
    if moving(&mut connection).await?.is_some() {
        return Err(StoreError::Incomplete { server: server.shown().to_owned() });
    }
    let during = StoreError::during("ask for the size of the database");
    let bytes: i64 =
        both("SELECT pg_database_size(current_database())").fetch_scalar(&mut connection).await.map_err(during)?;
    Ok(Examined::Sound { schema, known, bytes: u64::try_from(bytes).unwrap_or(0) })
}

/// Whether that is an address of PostgreSQL.
pub(crate) fn is_address(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

/// The address as it may be told: without a password, and without what stands behind its `?`. A password that is not
/// written as an address wants it may have any character in it.
pub(crate) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (user, place) = match rest.rfind('@') {
        Some(at) => (rest[..at].split([':', '/', '?', '#']).next().unwrap_or_default(), &rest[at..]),
        None => ("", rest),
    };
    format!("{scheme}://{user}{}", place.split('?').next().unwrap_or_default())
}

/// Brings the database from the schema it has to the last of these, each step with its number in a transaction of its own,
/// one node at a time.
async fn migrate(connection: &mut Connection, shown: &str, migrations: &[&str]) -> Result<(), StoreError> {
    let during = || StoreError::during("bring the schema up to date");
    let known = i64::try_from(migrations.len()).expect("there are few migrations");
    loop {
        // Whoever ends this early gives the connection up, and the transaction with it.
        if let Err(error) = both("BEGIN").execute(connection).await {
            return Err(if is_lent_for_a_statement(&error) {
                let (path, found) = (shown.to_owned(), "statement".to_owned());
                StoreError::Unsafe { path, setting: "pool_mode", found, expected: "transaction" }
            } else {
                during()(error)
            });
        }
        both("SELECT pg_advisory_xact_lock($1)").bind(UPGRADE_LOCK).execute(connection).await.map_err(during())?;
        let found = schema(connection).await?;
        if found > known {
            return Err(StoreError::Newer { path: shown.to_owned(), found, known });
        }
        let next = usize::try_from(found).ok().and_then(|done| migrations.get(done));
        if let Some(migration) = next {
            connection.run_script(migration).await.map_err(during())?;
            let mark = "INSERT INTO meta (key, value) VALUES ('schema', $1)
                        ON CONFLICT (key) DO UPDATE SET value = excluded.value";
            both(mark).bind((found + 1).to_string()).execute(connection).await.map_err(during())?;
        }
        both("COMMIT").execute(connection).await.map_err(during())?;
        if next.is_none() {
            return Ok(());
        }
    }
}

/// Whether that is how PgBouncer says that it lends a session for one statement at a time (`transaction blocks not allowed in
/// statement pooling mode`).
fn is_lent_for_a_statement(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.message().contains("statement pooling mode"))
}

/// The number of the schema; 0 in an empty database.
async fn schema(connection: &mut Connection) -> Result<i64, StoreError> {
    let during = || StoreError::during("read the number of the schema");
    let there: bool = both("SELECT to_regclass('meta') IS NOT NULL").fetch_scalar(connection).await.map_err(during())?;
    if !there {
        return Ok(0);
    }
    let found: Option<String> =
        both("SELECT value FROM meta WHERE key = 'schema'").fetch_optional_scalar(connection).await.map_err(during())?;
    let found = found.unwrap_or_default();
    found.parse().map_err(|_| StoreError::Corrupt(format!("`{found}` is no number of a schema")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::server::options;

    #[test]
    fn a_password_is_in_no_address_that_is_told() {
        for (url, told) in [
            ("postgres://ann:secret@db/tidings", "postgres://ann@db/tidings"),
            ("postgres://ann:se@cret@db/tidings?x=1", "postgres://ann@db/tidings"),
            ("postgres://db/tidings", "postgres://db/tidings"),
            ("postgres://ann:se/c?r#et@db/tidings", "postgres://ann@db/tidings"),
            ("postgres://ann@db/tidings?password=secret", "postgres://ann@db/tidings"),
            ("postgres:///tidings?host=/run/x", "postgres:///tidings"),
            ("sqlite://tidings.db", "sqlite://tidings.db"),
        ] {
            assert_eq!(without_password(url), told);
        }
        let refused = options("postgres://ann:secret@db:notaport/x", NO_NODE).unwrap_err().to_string();
        assert!(!refused.contains("secret"), "{refused}");
    }
}
