//! What is done when a server does not answer: whoever waits looks over another connection whether an answer can still come.
//!
//! A server that vanishes, or the way to it, closes nothing. The kernel gives a connection up after a quarter of an hour
//! where something of ours is not acknowledged, and never where it was; and a server may be at work on a statement for longer
//! than any bound. So nobody goes by the time alone. [`Backend`] is what the server has for a connection: if it is at work
//! it is waited for; if it waits for us, or is not there, or if there is no way to the server at all, no answer comes.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

/// How long an answer is waited for before anybody looks whether it can still come, unless it is urgent.
pub(crate) const ANSWER_WAIT: Duration = Duration::from_secs(8);

/// The part of that time in which such a look must come to something, and the least it has: a server is known to be lost
/// after both.
const LOOK_PART: u32 = 2;
const LOOK_WAIT_MIN: Duration = Duration::from_secs(1);

/// Looks that may tell nothing, where it is not known what on the server belongs to the connection.
const BLIND_LOOKS_MAX: u32 = 5;

/// How long a connection that is given up may take to say so to the server.
pub(super) const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// What a server has for a session, or for one transaction of a session that a pooler lends: the condition by which it is
/// found in `pg_stat_activity`, which nothing else there ever meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Backend {
    condition: String,
}

impl Backend {
    /// Of a session, by when it began: [`Backend::OF_SESSION`] in its answer.
    pub(crate) fn of_session(row: &PgRow, at: usize) -> Option<Backend> {
        Backend::found(row, at, "backend_start")
    }

    /// Of the transaction that is under way.
    pub(super) fn of_transaction(row: &PgRow) -> Option<Backend> {
        Backend::found(row, 0, "xact_start")
    }

    /// Two columns that tell which backend answers, and since when there is one.
    pub(crate) const OF_SESSION: &str = "pg_backend_pid()::text,
        (SELECT extract(epoch FROM backend_start)::text FROM pg_stat_activity WHERE pid = pg_backend_pid())";

    /// Two columns that tell which backend answers, and since when there is its transaction.
    pub(super) const OF_TRANSACTION: &str = "pg_backend_pid()::text, extract(epoch FROM now())::text";

    fn found(row: &PgRow, at: usize, since: &str) -> Option<Backend> {
        let number = |index: usize| {
            let text = row.try_get::<Option<String>, _>(index).ok().flatten()?;
            text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.').then_some(text)
        };
        let (pid, from) = (number(at)?, number(at + 1)?);
        Some(Backend { condition: format!("pid = {pid} AND extract(epoch FROM {since}) = {from}") })
    }

    /// Asks for one row, with whether it is at work, if it is there: what waits for a client waits for us, in the midst of a
    /// transaction too.
    fn look(&self) -> String {
        format!("SELECT wait_event_type IS DISTINCT FROM 'Client' FROM pg_stat_activity WHERE {}", self.condition)
    }

    /// Asks for one row if it is there, and has it end if it waits for a client: its transaction is rolled back then.
    pub(crate) fn end(&self) -> String {
        format!(
            "SELECT CASE WHEN wait_event_type = 'Client' THEN pg_terminate_backend(pid) END FROM pg_stat_activity WHERE {}",
            self.condition
        )
    }

    /// Asks for one row if it is there.
    pub(crate) fn is_there(&self) -> String {
        format!("SELECT true FROM pg_stat_activity WHERE {}", self.condition)
    }
}

/// What a look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// The server is at work on what it was told.
    AtWork,
    /// It has nothing more to say to us.
    Silent,
    /// Nobody answers, or nobody who could know.
    Away,
    /// The server is there, and does not tell.
    Unknown,
}

/// How to look.
#[derive(Clone)]
pub(crate) struct Watch {
    options: Box<PgConnectOptions>,
    answer_wait: Duration,
}

/// How to connect has the password in it.
impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Watch {
    /// Looks over connections of this kind, when no answer has come for so long.
    pub(crate) fn new(options: PgConnectOptions, answer_wait: Duration) -> Watch {
        Watch { options: Box::new(options), answer_wait }
    }

    /// Waits for an answer as long as one can come from that backend, where it is known which. `None` if none came.
    pub(super) async fn wait<T>(&self, backend: Option<&Backend>, answer: impl Future<Output = T>) -> Option<T> {
        let mut answer = pin!(answer);
        let mut blind = 0;
        let mut told = false;
        loop {
            if let Ok(answer) = tokio::time::timeout(self.answer_wait, &mut answer).await {
                return Some(answer);
            }
            let seen = tokio::select! {
                biased;
                answer = &mut answer => return Some(answer),
                seen = self.look(backend) => seen,
            };
            match seen {
                Seen::AtWork | Seen::Unknown if backend.is_some() => {}
                Seen::AtWork | Seen::Unknown if blind < BLIND_LOOKS_MAX => blind += 1,
                _ => return None,
            }
            if !told {
                let wait_s = self.answer_wait.as_secs_f64();
                tracing::debug!(
                    "the store's server has been at work for {wait_s} s on one statement; it is waited for"
                );
                told = true;
            }
        }
    }

    async fn look(&self, backend: Option<&Backend>) -> Seen {
        let wait = (self.answer_wait / LOOK_PART).max(LOOK_WAIT_MIN);
        match tokio::time::timeout(wait, self.ask(backend)).await {
            Ok(Ok(seen)) => seen,
            // It starts, stops, or recovers (class 57P): what was told it before is over.
            Ok(Err(sqlx::Error::Database(error))) if !error.code().is_some_and(|code| code.starts_with("57P")) => {
                Seen::Unknown
            }
            Ok(Err(_)) | Err(_) => Seen::Away,
        }
    }

    async fn ask(&self, backend: Option<&Backend>) -> Result<Seen, sqlx::Error> {
        let mut connection = PgConnection::connect_with(&self.options).await?;
        let Some(backend) = backend else { return Ok(Seen::Unknown) };
        let row = sqlx::raw_sql(AssertSqlSafe(backend.look())).fetch_optional(&mut connection).await?;
        let at_work = row.map(|row| row.try_get::<bool, _>(0)).transpose()?;
        // What it is told is no longer of interest.
        drop(tokio::time::timeout(CLOSE_WAIT, connection.close()).await);
        Ok(if at_work == Some(true) { Seen::AtWork } else { Seen::Silent })
    }
}

/// What is told of it.
pub(super) fn no_answer() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "the server did not answer"))
}
