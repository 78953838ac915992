//! The PostgreSQL store: opening it, and what is true of every connection to it.
//!
//! Several engines share one database. Each is a node with a lease (`lease.rs`); what it claimed is its own as long as it
//! renews that. A writer has one connection of its own; readers share a pool. Nothing is held by a session that a pooler
//! in transaction mode would lose: locks end with their transaction, and whoever cannot listen asks again in time.

mod bell;
mod days;
mod lease;

use std::fmt;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _};

use tidings_model::Timestamp;

use crate::batch::Swept;
use crate::error::StoreError;
use crate::shared::{self, Reader, Writer};
use crate::sql::{self as dialects, Pool, sql};
use crate::sqlite::{Examined, Mark};
pub(crate) use bell::Bell;
pub(crate) use days::{Days, HISTORIES, histories_day};
pub use lease::{LEASE, Lease, NodeName, Standing};
pub(crate) use lease::{Membership, TAKEN_OVER_MAX};

/// Every schema there was, oldest first: the number in the database is how many of them it has.
const MIGRATIONS: &[&str] = &[include_str!("../migrations/postgres/0001_first.sql")];

/// The oldest server whose ways are known here: 15 (a merge of what was asked for, and what `json_agg` answers).
const SERVER_MIN: i64 = 150_000;

/// Whoever upgrades the schema has this lock, so that one of several nodes does it.
const UPGRADE_LOCK: i64 = 0x7469_6469_6e67_7301;

/// Reader connections of a node.
const READERS_MAX: u32 = 6;

/// How long a reader waits for a free connection.
const READER_WAIT: Duration = Duration::from_secs(5);

/// How long a connection may take.
pub(crate) const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// How statements are planned: once, and by the indexes that they were written for. The tables of the queue are nearly
/// empty in one minute and full in the next, and a plan made for an empty one would read a full one from end to end; to
/// compile a statement takes longer than to run it.
const PLANNING: [(&str, &str); 3] =
    [("jit", "off"), ("enable_seqscan", "off"), ("plan_cache_mode", "force_generic_plan")];

/// Statements a connection remembers.
const STATEMENTS_MAX: usize = 512;

/// A database, and what belongs to this node's use of it.
pub(crate) struct Home {
    /// How to connect again.
    options: PgConnectOptions,
    /// The database, for people: without a password.
    shown: String,
    pub(crate) membership: Membership,
    pub(crate) days: Days,
    pub(crate) bell: Bell,
}

/// How to connect has the password in it.
impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Home").field("shown", &self.shown).finish_non_exhaustive()
    }
}

impl Home {
    pub(crate) async fn connect(&self) -> Result<dialects::Connection, StoreError> {
        Ok(connect(&self.options, &self.shown).await?.into())
    }

    /// What is told while the server has no room: its keeper's business.
    pub(crate) fn full(&self) -> StoreError {
        StoreError::Full { path: self.shown.clone() }
    }

    /// Has the days of history leave that are old, aside, and tells what left of those of the last time.
    pub(crate) async fn sweep_days(&mut self, done_before: Timestamp, failed_before: Timestamp) -> Swept {
        self.days.sweep(&self.options, &self.shown, done_before, failed_before).await
    }

    /// Undoes the claims of those numbers that landed: their messages go back to the queue, with what was bound to them.
    pub(crate) async fn release_claims(
        &self,
        connection: &mut dialects::Connection,
        claims: &[i64],
    ) -> Result<u64, StoreError> {
        let query = sql!(postgres "release_claims").query().bind(self.membership.node()).bind(dialects::json(&claims));
        query.fetch_scalar(connection).await.map_err(StoreError::during("undo claims that nobody was told of"))
    }
}

/// Opens the store at `postgres://…`, making or upgrading its schema if need be, and joins as a node.
///
/// # Errors
///
/// [`StoreError::Newer`] if a newer program made its schema, [`StoreError::Unsafe`] if the server does not do what safety
/// needs, and [`StoreError::Unreachable`] if it does not answer.
pub(crate) async fn open(url: &str, node: NodeName) -> Result<(Writer, Reader), StoreError> {
    let options = options(url)?;
    let shown = shown(&options);
    let mut connection = connect(&options, &shown).await?;
    migrate(&mut connection, &shown, MIGRATIONS).await?;
    if moving(&mut connection).await?.is_some() {
        return Err(StoreError::Incomplete { server: shown });
    }
    let pool = PgPoolOptions::new()
        .max_connections(READERS_MAX)
        .acquire_timeout(READER_WAIT)
        .connect_with(options.clone())
        .await
        .map_err(|source| StoreError::Unreachable { server: shown.clone(), source })?;
    let mut connection = dialects::Connection::from(connection);
    let membership = Membership::join(&mut connection, pool.clone(), node).await?;
    membership.look_who_leads(&mut connection).await?;
    let bell = Bell::hang(options.clone(), pool.clone(), membership.node());
    let home = Home { options, shown, membership, days: Days::default(), bell };
    let writer = Writer::begin(connection, shared::Home::Server(Box::new(home))).await?;
    let lease = writer.lease();
    Ok((writer, Reader::new(Pool::Postgres(pool), lease)))
}

/// The name of the move into this database that was begun and did not end.
async fn moving(connection: &mut PgConnection) -> Result<Option<String>, StoreError> {
    sqlx::query_scalar("SELECT value FROM meta WHERE key = 'moving'")
        .fetch_optional(connection)
        .await
        .map_err(StoreError::during("look whether the store is complete"))
}

/// What a store has in it that is not empty.
const FILLED: &str = "SELECT EXISTS (SELECT FROM meta WHERE key = 'instance') OR EXISTS (SELECT FROM node)
    OR EXISTS (SELECT FROM channel) OR EXISTS (SELECT FROM message) OR EXISTS (SELECT FROM credential)";

/// Everything that a move writes.
const EMPTY: &str = "TRUNCATE channel, template, app, token, message, attempt, acted, moment, idempotency, credential,
    schedule, run, run_log, firing, firing_span, tally, receipt, audit, api_key, suppression, notice, webhook;
    DELETE FROM meta WHERE key = 'instance'";

/// A database that a store is being moved into.
#[derive(Debug)]
pub(crate) struct Goal {
    pub(crate) connection: dialects::Connection,
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
    let options = options(url)?;
    let shown = shown(&options);
    let mut connection = connect(&options, &shown).await?;
    let found = match schema(&mut connection).await? {
        0 => None,
        _ => moving(&mut connection).await?,
    };
    let known = mark.map(|mark| mark.by.as_str());
    if known.is_some() && known != found.as_deref() {
        return Ok(None);
    }
    migrate(&mut connection, &shown, MIGRATIONS).await?;
    let during = || StoreError::during("begin to move a store");
    let filled: bool = sqlx::query_scalar(FILLED).fetch_one(&mut connection).await.map_err(during())?;
    if found.is_some() {
        sqlx::raw_sql(EMPTY).execute(&mut connection).await.map_err(during())?;
    } else if filled {
        return Err(StoreError::NotEmpty { server: shown });
    }
    // A move that goes on where a marked file broke off keeps its name. Any other has one of its own, so that a file which
    // was marked for what is emptied here is not taken for this one.
    let begin = "INSERT INTO meta (key, value) VALUES ('moving', coalesce($1, gen_random_uuid()::text))
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value RETURNING value";
    let by = sqlx::query_scalar(begin).bind(known).fetch_one(&mut connection).await.map_err(during())?;
    Ok(Some(Goal { connection: connection.into(), shown, by }))
}

impl Goal {
    /// Makes the statistics, so that the first plans are as good as the later.
    pub(crate) async fn analyze(&mut self) -> Result<(), StoreError> {
        let done = dialects::both("ANALYZE").execute(&mut self.connection).await;
        done.map(drop).map_err(StoreError::during("make the statistics of what was moved"))
    }

    /// The store is whole: engines may open it.
    pub(crate) async fn end_move(mut self) -> Result<(), StoreError> {
        let during = || StoreError::during("end the move of a store");
        let end = dialects::both("DELETE FROM meta WHERE key = 'moving' AND value = $1").bind(self.by);
        if end.execute(&mut self.connection).await.map_err(during())? == 0 {
            // Another move has emptied it meanwhile.
            return Err(StoreError::Incomplete { server: self.shown });
        }
        self.connection.close().await.map_err(during())
    }
}

/// Looks at the store of an address: whether it can be reached and whose schema it has.
pub(crate) async fn examine(url: &str) -> Result<Examined, StoreError> {
    let options = options(url)?;
    let shown = shown(&options);
    let mut connection = connect(&options, &shown).await?;
    let schema = schema(&mut connection).await?;
    let known = i64::try_from(MIGRATIONS.len()).expect("there are few migrations");
    if schema > known {
        return Err(StoreError::Newer { path: shown, found: schema, known });
    }
    if schema == 0 {
        return Ok(Examined::Absent);
    }
    if moving(&mut connection).await?.is_some() {
        return Err(StoreError::Incomplete { server: shown });
    }
    let during = StoreError::during("ask for the size of the database");
    let bytes: i64 = sqlx::query_scalar("SELECT pg_database_size(current_database())")
        .fetch_one(&mut connection)
        .await
        .map_err(during)?;
    Ok(Examined::Sound { schema, known, bytes: u64::try_from(bytes).unwrap_or(0) })
}

/// Whether that is an address of PostgreSQL.
pub(crate) fn is_address(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(url).map_err(|_| StoreError::Address { url: without_password(url) })?;
    // Whoever looks for slow statements asks the server, which knows what they waited for; here each would be told with its
    // whole text, a schema's too.
    let options = options.disable_statement_logging();
    let options = options.application_name("tidings").statement_cache_capacity(STATEMENTS_MAX);
    Ok(options.options(PLANNING))
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

fn shown(options: &PgConnectOptions) -> String {
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => options.get_host().to_owned(),
    };
    format!("postgres://{host}:{}/{}", options.get_port(), options.get_database().unwrap_or_default())
}

/// A connection that may write, once it is shown that the server does what safety needs.
async fn connect(options: &PgConnectOptions, shown: &str) -> Result<PgConnection, StoreError> {
    let unreachable = |source| StoreError::Unreachable { server: shown.to_owned(), source };
    let connecting = tokio::time::timeout(CONNECT_WAIT, PgConnection::connect_with(options));
    let mut connection = connecting.await.map_err(|_| unreachable(sqlx::Error::PoolTimedOut))?.map_err(unreachable)?;
    let during = || StoreError::during("read back a setting");
    let version: i64 = sqlx::query_scalar("SELECT current_setting('server_version_num')::bigint")
        .fetch_one(&mut connection)
        .await
        .map_err(during())?;
    let unsafe_ = |setting, found, expected| StoreError::Unsafe { path: shown.to_owned(), setting, found, expected };
    if version < SERVER_MIN {
        return Err(unsafe_("server_version_num", version.to_string(), "150000 or newer"));
    }
    // An answer means that it is on disk. Where the server's default is to answer before, its transactions would be lost
    // with it.
    let commit: String =
        sqlx::query_scalar("SHOW synchronous_commit").fetch_one(&mut connection).await.map_err(during())?;
    if commit == "off" {
        sqlx::query("SET synchronous_commit = on").execute(&mut connection).await.map_err(during())?;
    }
    Ok(connection)
}

/// Brings the database from the schema it has to the last of these, each step with its number in a transaction of its own,
/// one node at a time.
async fn migrate(connection: &mut PgConnection, shown: &str, migrations: &[&'static str]) -> Result<(), StoreError> {
    let during = || StoreError::during("bring the schema up to date");
    let known = i64::try_from(migrations.len()).expect("there are few migrations");
    loop {
        let mut transaction = connection.begin().await.map_err(during())?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(UPGRADE_LOCK)
            .execute(&mut *transaction)
            .await
            .map_err(during())?;
        let found = schema(&mut transaction).await?;
        if found > known {
            return Err(StoreError::Newer { path: shown.to_owned(), found, known });
        }
        let Some(migration) = usize::try_from(found).ok().and_then(|done| migrations.get(done)) else { return Ok(()) };
        sqlx::raw_sql(*migration).execute(&mut *transaction).await.map_err(during())?;
        let mark = "INSERT INTO meta (key, value) VALUES ('schema', $1)
                    ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        let mark = sqlx::query(mark).bind((found + 1).to_string());
        mark.execute(&mut *transaction).await.map_err(during())?;
        transaction.commit().await.map_err(during())?;
    }
}

/// The number of the schema; 0 in an empty database.
async fn schema(connection: &mut PgConnection) -> Result<i64, StoreError> {
    let during = || StoreError::during("read the number of the schema");
    let there: bool = sqlx::query_scalar("SELECT to_regclass('meta') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await
        .map_err(during())?;
    if !there {
        return Ok(0);
    }
    let found: Option<String> = sqlx::query_scalar("SELECT value FROM meta WHERE key = 'schema'")
        .fetch_optional(connection)
        .await
        .map_err(during())?;
    let found = found.unwrap_or_default();
    found.parse().map_err(|_| StoreError::Corrupt(format!("`{found}` is no number of a schema")))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let refused = options("postgres://ann:secret@db:notaport/x").unwrap_err().to_string();
        assert!(!refused.contains("secret"), "{refused}");
    }
}
