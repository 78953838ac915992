//! Connections to either database: one's own, or one of a pool's for a while.

use std::borrow::Cow;
use std::future::Future;
use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPool;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr, Sqlite, Transaction};

use super::session::{Session, Way};
use super::value::sqlite_arguments;
use super::watch::{Backend, CLOSE_WAIT};
use super::{Dialect, Query, Row};

/// Whose connection to a file it is.
#[derive(Debug)]
pub(crate) enum Held {
    Own(SqliteConnection),
    /// A pool's, which gets it back.
    Lent(PoolConnection<Sqlite>),
    /// A pool's, in the middle of a transaction that ends with the look.
    Looking(Transaction<'static, Sqlite>),
}

impl Held {
    fn inner(&mut self) -> &mut SqliteConnection {
        match self {
            Held::Own(connection) => connection,
            Held::Lent(connection) => connection,
            Held::Looking(transaction) => transaction,
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) enum Connection {
    Sqlite(Held),
    Postgres(Session),
}

impl From<SqliteConnection> for Connection {
    fn from(connection: SqliteConnection) -> Connection {
        Connection::Sqlite(Held::Own(connection))
    }
}

impl From<Session> for Connection {
    fn from(session: Session) -> Connection {
        Connection::Postgres(session)
    }
}

impl Connection {
    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Connection::Sqlite(_) => Dialect::Sqlite,
            Connection::Postgres(_) => Dialect::Postgres,
        }
    }

    /// SQLite's own.
    ///
    /// # Panics
    ///
    /// On a connection to PostgreSQL.
    pub(crate) fn sqlite(&mut self) -> &mut SqliteConnection {
        match self {
            Connection::Sqlite(held) => held.inner(),
            Connection::Postgres(_) => panic!("only a store in a file is asked for its file"),
        }
    }

    pub(super) async fn execute(&mut self, query: Query<'_>) -> Result<u64, sqlx::Error> {
        let (text, values) = query.resolve(self.dialect());
        let text = safe(text);
        match self {
            Connection::Sqlite(held) => {
                let done = sqlx::query_with(text, sqlite_arguments(values)?).execute(held.inner()).await?;
                Ok(done.rows_affected())
            }
            Connection::Postgres(session) => session.execute(text, values).await,
        }
    }

    pub(super) async fn fetch_all(&mut self, query: Query<'_>) -> Result<Vec<Row>, sqlx::Error> {
        let (text, values) = query.resolve(self.dialect());
        let text = safe(text);
        match self {
            Connection::Sqlite(held) => {
                let rows = sqlx::query_with(text, sqlite_arguments(values)?).fetch_all(held.inner()).await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            Connection::Postgres(session) => {
                Ok(session.fetch_all(text, values).await?.into_iter().map(Row::Postgres).collect())
            }
        }
    }

    /// Several statements without variables, as they are; a single one in no transaction but the one that was begun.
    pub(crate) async fn run_script(&mut self, script: &str) -> Result<(), sqlx::Error> {
        let script = AssertSqlSafe(script.to_owned());
        match self {
            Connection::Sqlite(held) => sqlx::raw_sql(script).execute(held.inner()).await.map(drop),
            Connection::Postgres(session) => session.run_script(script.into_sql_str()).await.map(drop),
        }
    }

    /// The same on PostgreSQL, and how many rows it answers with.
    ///
    /// # Panics
    ///
    /// On a connection to SQLite.
    pub(crate) async fn rows_of_script(&mut self, script: String) -> Result<usize, sqlx::Error> {
        match self {
            Connection::Sqlite(_) => panic!("only a server is asked what it has for a connection"),
            Connection::Postgres(session) => {
                session.run_script(AssertSqlSafe(script).into_sql_str()).await.map(|rows| rows.len())
            }
        }
    }

    /// What a server has for it, as far as that is known.
    pub(crate) fn backend(&self) -> Option<&Backend> {
        match self {
            Connection::Sqlite(_) => None,
            Connection::Postgres(session) => session.backend(),
        }
    }

    /// Whether it was given up, because no answer came.
    pub(crate) fn is_lost(&self) -> bool {
        match self {
            Connection::Sqlite(_) => false,
            Connection::Postgres(session) => session.is_lost(),
        }
    }

    /// Ends one's own connection in good order.
    pub(crate) async fn close(self) -> Result<(), sqlx::Error> {
        use sqlx::Connection as _;
        match self {
            Connection::Sqlite(Held::Own(connection)) => connection.close().await,
            Connection::Sqlite(_) => Ok(()),
            Connection::Postgres(session) => match session.into_own() {
                Some(connection) => within_reason(connection.close()).await,
                None => Ok(()),
            },
        }
    }

    /// Ends one's own connection at once.
    pub(crate) async fn close_hard(self) -> Result<(), sqlx::Error> {
        use sqlx::Connection as _;
        match self {
            Connection::Sqlite(Held::Own(connection)) => connection.close_hard().await,
            Connection::Sqlite(_) => Ok(()),
            Connection::Postgres(session) => match session.into_own() {
                Some(connection) => within_reason(connection.close_hard()).await,
                None => Ok(()),
            },
        }
    }
}

/// Waits for the end of a connection to a server, which may be out of reach: then it ends here alone.
async fn within_reason(end: impl Future<Output = Result<(), sqlx::Error>>) -> Result<(), sqlx::Error> {
    tokio::time::timeout(CLOSE_WAIT, end).await.unwrap_or(Ok(()))
}

/// Texts are this crate's: what others wrote is bound.
fn safe(text: Cow<'static, str>) -> SqlStr {
    match text {
        Cow::Borrowed(text) => text.into_sql_str(),
        Cow::Owned(text) => AssertSqlSafe(text).into_sql_str(),
    }
}

/// A look at the store as it is at one instant: what is written meanwhile is not in it. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Look(Connection);

impl Deref for Look {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for Look {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

/// The connections of readers.
#[derive(Debug, Clone)]
pub(crate) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool, Way),
}

impl Pool {
    /// How many of them are with nobody, and ready.
    pub(crate) fn at_rest(&self) -> usize {
        match self {
            Pool::Sqlite(pool) => pool.num_idle(),
            Pool::Postgres(pool, _) => pool.num_idle(),
        }
    }

    /// A connection for one statement.
    pub(crate) async fn acquire(&self) -> Result<Connection, sqlx::Error> {
        Ok(match self {
            Pool::Sqlite(pool) => Connection::Sqlite(Held::Lent(pool.acquire().await?)),
            Pool::Postgres(pool, way) => Session::lent(pool.acquire().await?, *way).into(),
        })
    }

    /// A connection for several statements that see the same.
    pub(crate) async fn look(&self) -> Result<Look, sqlx::Error> {
        Ok(Look(match self {
            Pool::Sqlite(pool) => Connection::Sqlite(Held::Looking(pool.begin().await?)),
            Pool::Postgres(pool, way) => {
                let mut session = Session::lent(pool.acquire().await?, *way);
                session.look().await?;
                session.into()
            }
        }))
    }
}
