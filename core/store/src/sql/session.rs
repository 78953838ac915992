//! A connection to PostgreSQL: straight to the server, or through a pooler that lends it for one transaction at a time.

use std::sync::LazyLock;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Postgres, SqlSafeStr as _, SqlStr};

use super::lent::Lent;
use super::planning::PLANNING;
use super::value::{Value, postgres_arguments};
use super::watch::{Backend, Watch, no_answer};

/// How long a reader's statement may take. It is one short statement that changes nothing: whoever asked asks again.
const READ_WAIT: Duration = Duration::from_secs(30);

/// How long a transaction of ours may wait for our next word: one whose engine stands still, or is out of reach, is rolled
/// back by the server then, so that others come by what it has locked. In a session of one's own it is as long as the lease
/// where that is shorter; through a pooler it is always this.
pub(crate) const LEFT_ALONE_MAX: Duration = Duration::from_secs(15);
/// The setting that says so, in milliseconds.
pub(crate) const LEFT_ALONE: &str = "idle_in_transaction_session_timeout";

/// How the server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// In a session of one's own: what was set at its beginning holds until its end, and it keeps prepared statements.
    Direct,
    /// Through a pooler. Each transaction may be another session, which others have used before: it says itself what it
    /// wants set, no statement has a name, and a statement between two transactions is one of its own. sqlx prepares a
    /// statement without a name in one message and runs it in the next, and only a transaction keeps the two together.
    Pooled,
}

/// What each transaction through a pooler sets, to its end. Where a session answers before a commit is on disk, this one
/// does not.
static SETTINGS: LazyLock<String> = LazyLock::new(|| {
    let mut text = String::new();
    for (name, value) in PLANNING {
        text.push_str(&format!("; SET LOCAL {name} = {value}"));
    }
    text.push_str(&format!("; SET LOCAL {LEFT_ALONE} = {}", LEFT_ALONE_MAX.as_millis()));
    text.push_str(
        "; SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'",
    );
    text
});

/// The beginning of a transaction, in the manner of that way.
fn begin(begin: &'static str, way: Way) -> SqlStr {
    match way {
        Way::Direct => begin.into_sql_str(),
        // One message, and so one round trip.
        Way::Pooled => AssertSqlSafe(format!("{begin}{}", *SETTINGS)).into_sql_str(),
    }
}

/// Whose connection to a server it is.
#[derive(Debug)]
enum Held {
    Own(PgConnection),
    /// A pool's, which gets it back.
    Lent(Lent),
}

/// A connection to PostgreSQL.
#[derive(Debug)]
pub(crate) struct Session {
    held: Held,
    way: Way,
    /// A transaction was begun and has not ended. Of a straight connection only a look's is known.
    begun: bool,
    /// Who looks whether answers can still come; of a pool's connection nobody.
    watch: Option<Watch>,
    /// What the server has for it, or behind a pooler for its transaction, as far as that is known.
    backend: Option<Backend>,
    /// No answer came, and it is not asked again.
    lost: bool,
}

impl Held {
    fn inner(&mut self) -> &mut PgConnection {
        match self {
            Held::Own(connection) => connection,
            Held::Lent(lent) => lent.inner(),
        }
    }
}

/// What a statement is to the transaction around it.
enum Part {
    /// It goes to the server as it is.
    Straight,
    Begin,
    End,
    Inside,
    Alone,
}

impl Session {
    fn new(held: Held, way: Way) -> Session {
        Session { held, way, begun: false, watch: None, backend: None, lost: false }
    }

    /// A pool's.
    pub(super) fn lent(connection: PoolConnection<Postgres>, way: Way) -> Session {
        Session::new(Held::Lent(Lent::new(connection)), way)
    }

    /// One's own, for which the server has that backend.
    pub(crate) fn own(connection: PgConnection, way: Way, watch: Watch, backend: Option<Backend>) -> Session {
        let backend = backend.filter(|_| way == Way::Direct);
        Session { watch: Some(watch), backend, ..Session::new(Held::Own(connection), way) }
    }

    /// What the server has for it, or had for its last transaction.
    pub(crate) fn backend(&self) -> Option<&Backend> {
        self.backend.as_ref()
    }

    /// Whether it was given up.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost
    }

    pub(super) async fn execute(&mut self, text: SqlStr, values: Vec<Value<'_>>) -> Result<u64, sqlx::Error> {
        let part = if self.way == Way::Direct { Part::Straight } else { self.part(text.as_str()) };
        let way = self.way;
        match part {
            Part::Straight => {
                let query = sqlx::query_with(text, postgres_arguments(values)?);
                let run = async |connection: &mut PgConnection| Ok(query.execute(connection).await?.rows_affected());
                self.answered(run).await
            }
            Part::Begin => {
                let text = format!("{}{}; SELECT {}", text.as_str(), *SETTINGS, Backend::OF_TRANSACTION);
                self.backend = None;
                let begin = async |connection: &mut PgConnection| {
                    sqlx::raw_sql(AssertSqlSafe(text)).fetch_all(connection).await
                };
                let rows = self.answered(begin).await?;
                self.backend = rows.last().and_then(Backend::of_transaction);
                self.begun = true;
                Ok(0)
            }
            Part::End => {
                self.begun = false;
                let end = async |connection: &mut PgConnection| sqlx::raw_sql(text).execute(connection).await;
                self.answered(end).await.map(|done| done.rows_affected())
            }
            Part::Inside => {
                let query = sqlx::query_with(text, postgres_arguments(values)?).persistent(false);
                let run = async |connection: &mut PgConnection| Ok(query.execute(connection).await?.rows_affected());
                self.answered(run).await
            }
            Part::Alone => {
                let query = sqlx::query_with(text, postgres_arguments(values)?).persistent(false);
                self.backend = None;
                let run = async |connection: &mut PgConnection| {
                    let mut transaction = connection.begin_with(begin("BEGIN", way)).await?;
                    let done = query.execute(&mut *transaction).await;
                    end(transaction, done).await.map(|done| done.rows_affected())
                };
                self.answered(run).await
            }
        }
    }

    pub(super) async fn fetch_all(&mut self, text: SqlStr, values: Vec<Value<'_>>) -> Result<Vec<PgRow>, sqlx::Error> {
        let query = sqlx::query_with(text, postgres_arguments(values)?);
        let way = self.way;
        match way {
            Way::Direct => self.answered(async |connection: &mut PgConnection| query.fetch_all(connection).await).await,
            Way::Pooled if self.begun => {
                let query = query.persistent(false);
                self.answered(async |connection: &mut PgConnection| query.fetch_all(connection).await).await
            }
            Way::Pooled => {
                self.backend = None;
                let run = async |connection: &mut PgConnection| {
                    let mut transaction = connection.begin_with(begin("BEGIN", way)).await?;
                    let rows = query.persistent(false).fetch_all(&mut *transaction).await;
                    end(transaction, rows).await
                };
                self.answered(run).await
            }
        }
    }

    /// Several statements without variables, as they are; a single one in no transaction but the one that was begun. With
    /// the rows they answer.
    pub(crate) async fn run_script(&mut self, script: SqlStr) -> Result<Vec<PgRow>, sqlx::Error> {
        let run = async |connection: &mut PgConnection| sqlx::raw_sql(script).fetch_all(connection).await;
        self.answered(run).await
    }

    /// Begins a transaction that sees the store as it is now, and ends with the connection, which is a pool's.
    pub(super) async fn look(&mut self) -> Result<(), sqlx::Error> {
        self.begun = true;
        let begin = begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", self.way);
        self.run_script(begin).await.map(drop)
    }

    /// Asks, and waits for the answer as long as one can come. Whoever heard none asks nothing more.
    async fn answered<T>(
        &mut self,
        ask: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let Session { held, way, begun, watch, backend, lost } = self;
        if *lost {
            return Err(no_answer());
        }
        // Whoever asks may be gone before the answer: what began by then is ended by whoever gives the connection back.
        if let (Held::Lent(lent), true) = (&mut *held, *begun || *way == Way::Pooled) {
            lent.begins();
        }
        let answer = ask(held.inner());
        let answered = match watch {
            Some(watch) => watch.wait(backend.as_ref(), answer).await,
            None => tokio::time::timeout(READ_WAIT, answer).await.ok(),
        };
        *lost = answered.is_none();
        if let Held::Lent(lent) = held {
            lent.heard(answered.as_ref());
            if !*begun && matches!(answered, Some(Ok(_))) {
                lent.has_ended();
            }
        }
        answered.unwrap_or_else(|| Err(no_answer()))
    }

    /// One's own; a pool's is given back.
    pub(super) fn into_own(self) -> Option<PgConnection> {
        match self.held {
            Held::Own(connection) => Some(connection),
            Held::Lent(_) => None,
        }
    }

    fn part(&self, text: &str) -> Part {
        match text {
            "COMMIT" | "ROLLBACK" => Part::End,
            _ if self.begun => Part::Inside,
            _ if text.starts_with("BEGIN") => Part::Begin,
            _ => Part::Alone,
        }
    }
}

/// Ends a transaction around one statement, at once whatever came of it: until then the pooler has a session less.
async fn end<T>(transaction: sqlx::Transaction<'_, Postgres>, done: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
    match done {
        Ok(done) => transaction.commit().await.map(|()| done),
        Err(error) => {
            // What is wrong is told already; a connection that is broken rolls back by itself.
            drop(transaction.rollback().await);
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::postgres::PgConnectOptions;

    use super::*;

    const SETTINGS_NOW: &str = "SELECT current_setting('synchronous_commit') || ' ' || current_setting('jit') || ' '
        || current_setting('enable_seqscan') || ' ' || current_setting('plan_cache_mode')";

    async fn settings(session: &mut Session) -> String {
        use sqlx::Row as _;
        session.fetch_all(SETTINGS_NOW.into_sql_str(), Vec::new()).await.unwrap()[0].get(0)
    }

    async fn run(session: &mut Session, text: &'static str) {
        session.execute(text.into_sql_str(), Vec::new()).await.unwrap();
    }

    #[tokio::test]
    async fn each_transaction_through_a_pooler_brings_its_settings_and_leaves_nothing_behind() {
        let database = tidings_cluster::fresh_database();
        let options: PgConnectOptions = database.url().parse().unwrap();
        let connection = PgConnection::connect_with(&options).await.unwrap();
        let mut session = Session::own(connection, Way::Pooled, Watch::new(options, READ_WAIT), None);
        session.run_script("SET synchronous_commit = off".into_sql_str()).await.unwrap();
        let brought = "on off off force_generic_plan";

        assert_eq!(settings(&mut session).await, brought);
        run(&mut session, "BEGIN ISOLATION LEVEL READ COMMITTED").await;
        assert_eq!(settings(&mut session).await, brought);
        run(&mut session, "CREATE TABLE t (a bigint)").await;
        run(&mut session, "ROLLBACK").await;
        run(&mut session, "CREATE TABLE t (a bigint)").await;
        let refused = session.execute("CREATE TABLE t (a bigint)".into_sql_str(), Vec::new()).await;
        assert!(refused.is_err(), "there is such a table");
        assert_eq!(settings(&mut session).await, brought, "what was refused is at its end");

        let mut same = Session { way: Way::Direct, ..session };
        assert_eq!(settings(&mut same).await, "off on on auto");
        let named = "SELECT count(*) FROM pg_prepared_statements WHERE statement <> current_query()".into_sql_str();
        let prepared = same.fetch_all(named, Vec::new()).await.unwrap();
        // The one above, which a straight session keeps.
        assert_eq!(sqlx::Row::get::<i64, _>(&prepared[0], 0), 1);
    }
}
