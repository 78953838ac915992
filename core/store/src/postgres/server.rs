//! Where the server is and how it is reached: straight, or through a pooler, which is found out when it is first asked.

use std::fmt;
use std::str::FromStr as _;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};

use super::plans::has_grown_old;
use super::without_password;
use crate::error::StoreError;
use crate::sql::{
    ANSWER_WAIT, Backend, Connection, IDLE_WAIT, LEFT_ALONE, LEFT_ALONE_MAX, PLAN_ANEW, PLANNING, Session, Watch, Way,
};

/// The oldest server whose ways are known here: 15 (a merge of what was asked for, and what `json_agg` answers).
const SERVER_MIN: i64 = 150_000;

/// How long a connection may take.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// How long a connection of a pool is waited for.
const POOL_WAIT: Duration = Duration::from_secs(5);

/// How long what the server has for connections that are given up may take to end, before the server is told to be away.
const REST_WAIT: Duration = Duration::from_secs(5);

/// How long the server has to find out by itself that such a connection is closed.
const REST_BY_ITSELF: Duration = Duration::from_millis(200);

/// Between two looks whether it has.
const REST_LOOK: Duration = Duration::from_millis(10);

/// Statements a connection remembers.
const STATEMENTS_MAX: usize = 512;

/// What a session has that was begun by ourselves, and none that a pooler lends.
const OURS: (&str, &str) = ("tidings.session", "own");

/// A statement that is a transaction by itself is as isolated as those that are begun: what it waited for it sees. A database
/// or a user may be set otherwise.
const ISOLATION: (&str, &str) = ("default_transaction_isolation", "read committed");

/// When the server gives up a client that it hears nothing of, in seconds: what a machine that is gone had locked is free
/// for others then. The server's own defaults are two hours.
const KEEPALIVE: [(&str, &str); 3] =
    [("tcp_keepalives_idle", "10"), ("tcp_keepalives_interval", "5"), ("tcp_keepalives_count", "3")];

/// The encoding that every text of ours has.
const ENCODING: &str = "UTF8";

/// A server and a database on it.
#[derive(Clone)]
pub(crate) struct Server {
    options: PgConnectOptions,
    /// The database, for people: without a password.
    shown: String,
    way: Way,
}

/// How to connect has the password in it.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("shown", &self.shown).field("way", &self.way).finish_non_exhaustive()
    }
}

impl Server {
    /// Connects to the server of an address, whichever way it is reached, under that name unless the address has one. What a
    /// transaction has locked is let go of when nothing was heard of it for as long as a lease.
    ///
    /// # Errors
    ///
    /// As [`Server::connect`].
    pub(crate) async fn find(url: &str, name: &str, lease: Duration) -> Result<(Server, Connection), StoreError> {
        let plain = options(url, name)?;
        let shown = shown(&plain);
        let pooled = Server { options: plain.clone(), shown: shown.clone(), way: Way::Pooled };
        let left_alone = lease.min(LEFT_ALONE_MAX).as_millis().to_string();
        let of_session = PLANNING.into_iter().chain([(LEFT_ALONE, &*left_alone)]).chain(KEEPALIVE);
        let of_session = of_session.chain([ISOLATION, OURS]);
        let direct = Server { options: plain.options(of_session), shown, way: Way::Direct };
        match direct.connect_either_way(ANSWER_WAIT).await {
            Ok((connection, Way::Direct)) => Ok((direct, connection)),
            // It lets the settings of a session pass, and drops them.
            Ok((connection, Way::Pooled)) => Ok((pooled, connection)),
            Err(error) if is_refused_by_pooler(&error) => {
                let connection = pooled.connect().await?;
                Ok((pooled, connection))
            }
            Err(error) => Err(error),
        }
    }

    /// A connection that may write, once it is shown that the server does what safety needs.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`], [`StoreError::Unsafe`], and [`StoreError::Pooler`] if there is a pooler now where none
    /// was.
    pub(crate) async fn connect(&self) -> Result<Connection, StoreError> {
        self.connect_urgently(ANSWER_WAIT).await
    }

    /// The same, of which an answer is waited for so long before anybody looks whether it can still come.
    ///
    /// # Errors
    ///
    /// As [`Server::connect`].
    pub(crate) async fn connect_urgently(&self, answer_wait: Duration) -> Result<Connection, StoreError> {
        let rerouted = || StoreError::Pooler { server: self.shown.clone() };
        match self.connect_either_way(answer_wait).await {
            Ok((_, Way::Pooled)) if self.way == Way::Direct => Err(rerouted()),
            Ok((connection, _)) => Ok(connection),
            Err(error) if self.way == Way::Direct && is_refused_by_pooler(&error) => Err(rerouted()),
            Err(error) => Err(error),
        }
    }

    /// The same, whatever is between.
    async fn connect_either_way(&self, answer_wait: Duration) -> Result<(Connection, Way), StoreError> {
        let Server { options, shown, .. } = self;
        let unreachable = |source| unreachable(options, shown, source);
        let connecting = async {
            let mut connection = PgConnection::connect_with(options).await.map_err(unreachable)?;
            let found = Found::begin(&mut connection).await.map_err(StoreError::during("read back a setting"))?;
            Ok((connection, found))
        };
        let connecting = tokio::time::timeout(CONNECT_WAIT, connecting);
        let (connection, found) = connecting.await.map_err(|_| unreachable(sqlx::Error::PoolTimedOut))??;
        found.check(shown)?;
        let session = Session::own(connection, found.way, Watch::new(options.clone(), answer_wait), found.backend);
        Ok((session.into(), found.way))
    }

    /// Connections of which each is lent for a while. None that is out of reach keeps its place for long: before it is
    /// lent, [`POOL_WAIT`] bounds all that is done, a close too; behind that, whoever gives it back does. sqlx closes
    /// by itself only what has rested, which was asked before: nothing that is unsent is in the way of its last word.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub(crate) async fn pool(&self, connections: u32) -> Result<PgPool, StoreError> {
        let way = self.way;
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(POOL_WAIT)
            .after_connect(|connection, _| Box::pin(async move { Found::begin(connection).await.map(drop) }))
            .test_before_acquire(false)
            .before_acquire(move |connection, metadata| match way {
                // It is asked something else for that: the tables may be longer now.
                Way::Direct if has_grown_old(metadata.age, metadata.idle_for) => Box::pin(plans_anew(connection)),
                // Through a pooler everything is planned each time.
                Way::Direct | Way::Pooled => Box::pin(is_there(connection)),
            });
        let connecting = pool.connect_with(self.options.clone()).await;
        connecting.map_err(|source| unreachable(&self.options, &self.shown, source))
    }

    /// Sees to it that the server has nothing left of connections that were given up, so that nothing of what they began is
    /// done from now on: what is at work is waited for, and what waits for a word from us is ended. Those that are gone are
    /// taken off the list.
    ///
    /// # Errors
    ///
    /// [`StoreError::Underway`] if one of them is still at work.
    pub(crate) async fn lay_to_rest(
        &self,
        connection: &mut Connection,
        left: &mut Vec<Backend>,
    ) -> Result<(), StoreError> {
        let begun = Instant::now();
        while let Some(backend) = left.last() {
            let ask = if begun.elapsed() < REST_BY_ITSELF { backend.is_there() } else { backend.end() };
            let during = StoreError::during("look for what a connection left that was lost");
            if connection.rows_of_script(ask).await.map_err(during)? == 0 {
                left.pop();
            } else if begun.elapsed() > REST_WAIT {
                return Err(StoreError::Underway { server: self.shown.clone() });
            } else {
                tokio::time::sleep(REST_LOOK).await;
            }
        }
        Ok(())
    }

    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    pub(crate) fn way(&self) -> Way {
        self.way
    }
}

/// What was found of a connection at its beginning.
struct Found {
    version: String,
    encoding: String,
    way: Way,
    backend: Option<Backend>,
}

impl Found {
    /// What every connection begins with, whoever has it: it is looked at, and has an answer to a commit mean that it is on
    /// disk. Where the server's default is to answer before, transactions would be lost with it, and a lease be renewed that
    /// no standby knows of. One that a pooler lends is told so with each transaction.
    async fn begin(connection: &mut PgConnection) -> Result<Found, sqlx::Error> {
        // In one message without a name: that much gets through any pooler.
        let look = format!(
            "SELECT current_setting('server_version_num'), current_setting('server_encoding'),
                current_setting('synchronous_commit'), coalesce(current_setting('{}', true), ''), {}",
            OURS.0,
            Backend::OF_SESSION
        );
        let row = sqlx::raw_sql(AssertSqlSafe(look)).fetch_one(&mut *connection).await?;
        let text = |index: usize| row.try_get::<String, _>(index);
        let way = if text(3)? == OURS.1 { Way::Direct } else { Way::Pooled };
        if way == Way::Direct && text(2)? == "off" {
            sqlx::raw_sql("SET synchronous_commit = on").execute(connection).await?;
        }
        Ok(Found { version: text(0)?, encoding: text(1)?, way, backend: Backend::of_session(&row, 4) })
    }

    /// Whether the server does what safety needs.
    fn check(&self, shown: &str) -> Result<(), StoreError> {
        let Found { version, encoding, .. } = self;
        let unsafe_as = |setting, found: &str, expected| {
            Err(StoreError::Unsafe { path: shown.to_owned(), setting, found: found.to_owned(), expected })
        };
        if version.parse().is_ok_and(|version: i64| version < SERVER_MIN) {
            return unsafe_as("server_version_num", version, "150000 or newer");
        }
        if encoding != ENCODING {
            return unsafe_as(
                "server_encoding",
                encoding,
                "UTF8; a database keeps the encoding it was made with, so make another: createdb -E UTF8 -T template0 NAME",
            );
        }
        Ok(())
    }
}

/// Whether a connection of a pool answers at once.
async fn is_there(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    answers(connection.ping()).await
}

/// The same, and it has what it is asked from now on planned anew.
async fn plans_anew(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    answers(sqlx::raw_sql(PLAN_ANEW).execute(connection)).await
}

/// Whether an answer comes at once. A connection that gives none is closed and another is made: it is nobody's error.
async fn answers<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<bool, sqlx::Error> {
    Ok(tokio::time::timeout(IDLE_WAIT, answer).await.is_ok_and(|answered| answered.is_ok()))
}

/// Why nobody got there. What TLS says of a certificate comes as data that makes no sense; and over TCP there is no file that
/// could be missing but those for TLS.
fn unreachable(options: &PgConnectOptions, shown: &str, source: sqlx::Error) -> StoreError {
    let server = shown.to_owned();
    let is_of_tls = match &source {
        sqlx::Error::Tls(_) => true,
        sqlx::Error::Io(error) => match error.kind() {
            std::io::ErrorKind::InvalidData => true,
            std::io::ErrorKind::NotFound => options.get_socket().is_none() && !options.get_host().starts_with('/'),
            _ => false,
        },
        _ => false,
    };
    if is_of_tls { StoreError::Untrusted { server, source } } else { StoreError::Unreachable { server, source } }
}

/// Whether that is how a pooler says that it cannot set what a session is to begin with: `unsupported startup parameter:
/// options`, and in newer ones `unsupported startup parameter in options: jit`, both with the code of a protocol violation.
fn is_refused_by_pooler(error: &StoreError) -> bool {
    let StoreError::Unreachable { source, .. } = error else { return false };
    source.as_database_error().is_some_and(|error| error.message().contains("unsupported startup parameter"))
}

pub(super) fn options(url: &str, name: &str) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(url).map_err(|_| StoreError::Address { url: without_password(url) })?;
    // Whoever looks for slow statements asks the server, which knows what they waited for; here each would be told with its
    // whole text, a schema's too.
    let options = options.disable_statement_logging();
    // No number is read as text, and poolers do not know what says how it would be written.
    let options = options.extra_float_digits(None);
    let options = match options.get_application_name() {
        Some(_) => options,
        None => options.application_name(name),
    };
    Ok(options.statement_cache_capacity(STATEMENTS_MAX))
}

fn shown(options: &PgConnectOptions) -> String {
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => options.get_host().to_owned(),
    };
    format!("postgres://{host}:{}/{}", options.get_port(), options.get_database().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use tidings_cluster::{Cluster, ask, fresh_database};

    use super::*;

    #[tokio::test]
    async fn a_transaction_whose_engine_stands_still_ends_with_its_lease_at_the_latest() {
        let database = fresh_database();
        for (lease, ends_after) in [(2, "2s"), (15, "15s"), (60, "15s")] {
            let (server, _) = Server::find(database.url(), "tidings a", Duration::from_secs(lease)).await.unwrap();
            let mut connection = server.pool(1).await.unwrap().acquire().await.unwrap();
            let setting = sqlx::query_scalar::<_, String>("SELECT current_setting($1)").bind(LEFT_ALONE);
            assert_eq!(setting.fetch_one(&mut *connection).await.unwrap(), ends_after, "a lease of {lease} s");
        }
    }

    #[tokio::test]
    async fn a_readers_connection_plans_by_how_much_there_is_by_then() {
        let database = fresh_database();
        ask(database.url(), "CREATE TABLE t (a bigint)").unwrap();
        let (server, _) = Server::find(database.url(), "tidings a", LEFT_ALONE_MAX).await.unwrap();
        let pool = server.pool(1).await.unwrap();
        sqlx::raw_sql("PREPARE looks AS SELECT a FROM t").execute(&pool).await.unwrap();
        let plan = || sqlx::query_scalar::<_, String>("EXPLAIN EXECUTE looks").fetch_one(&pool);
        let before = plan().await.unwrap();
        ask(database.url(), "INSERT INTO t SELECT generate_series(1, 10000)").unwrap();
        let begun = Instant::now();
        while plan().await.unwrap() == before {
            assert!(begun.elapsed() < Duration::from_secs(20), "it goes by what there was: {before}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn a_commit_that_is_answered_is_on_disk_on_every_connection_whatever_the_database_has_set() {
        let database = fresh_database();
        let off = format!("ALTER DATABASE {} SET synchronous_commit = off", database.name());
        ask(database.url(), &off).unwrap();
        let (server, mut own) = Server::find(database.url(), "tidings a", LEFT_ALONE_MAX).await.unwrap();
        let setting = || sqlx::query_scalar::<_, String>("SELECT current_setting('synchronous_commit')");
        let pool = server.pool(1).await.unwrap();
        assert_eq!(setting().fetch_one(&pool).await.unwrap(), "on");
        let own = own.rows_of_script("SELECT WHERE current_setting('synchronous_commit') = 'on'".to_owned());
        assert_eq!(own.await.unwrap(), 1);
        // What is stricter stays, and what waits for no standby was chosen.
        for kept in ["remote_apply", "local"] {
            let set = format!("ALTER DATABASE {} SET synchronous_commit = {kept}", database.name());
            ask(database.url(), &set).unwrap();
            let pool = server.pool(1).await.unwrap();
            assert_eq!(setting().fetch_one(&pool).await.unwrap(), kept);
        }
    }

    #[tokio::test]
    async fn a_database_that_cannot_hold_every_text_is_refused_with_how_to_make_one_that_can() {
        let cluster = Cluster::private(&std::env::temp_dir(), &[]).unwrap();
        let make = "CREATE DATABASE old TEMPLATE template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'";
        ask(&cluster.url("postgres"), make).unwrap();
        let refused = Server::find(&cluster.url("old"), "tidings", LEFT_ALONE_MAX).await.map(drop).unwrap_err();
        assert!(matches!(refused, StoreError::Unsafe { .. }), "{refused:?}");
        let told = refused.to_string();
        assert!(told.contains("LATIN1") && told.contains("createdb -E UTF8 -T template0"), "{told}");
    }

    #[test]
    fn a_connection_has_the_name_that_its_address_gives_it_or_its_engines() {
        let name = |url| options(url, "tidings a").unwrap().get_application_name().map(str::to_owned);
        assert_eq!(name("postgres://db/x").as_deref(), Some("tidings a"));
        assert_eq!(name("postgres://db/x?application_name=mine").as_deref(), Some("mine"));
    }
}
