//! Where the server is and how it is reached: straight, or through a pooler, which is found out when it is first asked.

use std::fmt;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use super::without_password;
use crate::error::StoreError;
use crate::sql::{Connection, PLANNING, Session, Way};

/// The oldest server whose ways are known here: 15 (a merge of what was asked for, and what `json_agg` answers).
const SERVER_MIN: i64 = 150_000;

/// How long a connection may take.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// Statements a connection remembers.
const STATEMENTS_MAX: usize = 512;

/// What a session has that was begun by ourselves, and none that a pooler lends.
const OURS: (&str, &str) = ("tidings.session", "own");

/// What a connection is asked first, in one message without a name: that much gets through any pooler. The version, what
/// an answer to a commit means, and whether the session is one's own.
const LOOK: &str = "SELECT current_setting('server_version_num'), current_setting('synchronous_commit'),
    coalesce(current_setting('tidings.session', true), '')";

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
    /// Connects to the server of an address, whichever way it is reached.
    ///
    /// # Errors
    ///
    /// As [`Server::connect`].
    pub(crate) async fn find(url: &str) -> Result<(Server, Connection), StoreError> {
        let plain = options(url)?;
        let shown = shown(&plain);
        let pooled = Server { options: plain.clone(), shown: shown.clone(), way: Way::Pooled };
        let direct = Server { options: plain.options(PLANNING).options([OURS]), shown, way: Way::Direct };
        match direct.connect_either_way().await {
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
        let rerouted = || StoreError::Pooler { server: self.shown.clone() };
        match self.connect_either_way().await {
            Ok((_, Way::Pooled)) if self.way == Way::Direct => Err(rerouted()),
            Ok((connection, _)) => Ok(connection),
            Err(error) if self.way == Way::Direct && is_refused_by_pooler(&error) => Err(rerouted()),
            Err(error) => Err(error),
        }
    }

    /// The same, whatever is between.
    async fn connect_either_way(&self) -> Result<(Connection, Way), StoreError> {
        let Server { options, shown, .. } = self;
        let unreachable = |source| StoreError::Unreachable { server: shown.clone(), source };
        let connecting = tokio::time::timeout(CONNECT_WAIT, PgConnection::connect_with(options));
        let mut connection =
            connecting.await.map_err(|_| unreachable(sqlx::Error::PoolTimedOut))?.map_err(unreachable)?;
        let during = || StoreError::during("read back a setting");
        let row = sqlx::raw_sql(LOOK).fetch_one(&mut connection).await.map_err(during())?;
        let text = |index: usize| row.try_get::<String, _>(index).map_err(during());
        let (version, commit) = (text(0)?, text(1)?);
        let way = if text(2)? == OURS.1 { Way::Direct } else { Way::Pooled };
        if version.parse().is_ok_and(|version: i64| version < SERVER_MIN) {
            return Err(StoreError::Unsafe {
                path: shown.clone(),
                setting: "server_version_num",
                found: version,
                expected: "150000 or newer",
            });
        }
        // An answer means that it is on disk. Where the server's default is to answer before, its transactions would be
        // lost with it.
        if way == Way::Direct && commit == "off" {
            sqlx::raw_sql("SET synchronous_commit = on").execute(&mut connection).await.map_err(during())?;
        }
        Ok((Session::own(connection, way).into(), way))
    }

    pub(crate) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    pub(crate) fn way(&self) -> Way {
        self.way
    }
}

/// Whether that is how a pooler says that it cannot set what a session is to begin with: `unsupported startup parameter:
/// options`, and in newer ones `unsupported startup parameter in options: jit`, both with the code of a protocol violation.
fn is_refused_by_pooler(error: &StoreError) -> bool {
    let StoreError::Unreachable { source, .. } = error else { return false };
    source.as_database_error().is_some_and(|error| error.message().contains("unsupported startup parameter"))
}

pub(super) fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(url).map_err(|_| StoreError::Address { url: without_password(url) })?;
    // Whoever looks for slow statements asks the server, which knows what they waited for; here each would be told with its
    // whole text, a schema's too.
    let options = options.disable_statement_logging();
    // No number is read as text, and poolers do not know what says how it would be written.
    let options = options.extra_float_digits(None);
    Ok(options.application_name("tidings").statement_cache_capacity(STATEMENTS_MAX))
}

fn shown(options: &PgConnectOptions) -> String {
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => options.get_host().to_owned(),
    };
    format!("postgres://{host}:{}/{}", options.get_port(), options.get_database().unwrap_or_default())
}
