//! Raw SQLite: the same queue as three narrow tables and a few statements over whole batches, at FULL. It knows no
//! credentials, no channels, no fences and no counts: the bound for a store of that kind, not a model of one.

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection as _, Row as _};

use crate::failure::{Failure, check};
use crate::folder::Folder;
use crate::workload::{data, key, recipient};

const TABLES: &str = "
    CREATE TABLE m (id INTEGER PRIMARY KEY AUTOINCREMENT, state INT NOT NULL, lane INT NOT NULL, run_at INT NOT NULL,
                    gen INT NOT NULL DEFAULT 0, attempt INT NOT NULL DEFAULT 0, finished INT, pid TEXT) STRICT;
    CREATE INDEX ready ON m (lane, run_at, id) WHERE state = 0;
    CREATE TABLE body (id INTEGER PRIMARY KEY, payload TEXT NOT NULL) STRICT;
    CREATE TABLE idem (k TEXT PRIMARY KEY, id INT) WITHOUT ROWID, STRICT;";

const ACCEPT: [&str; 3] = [
    "INSERT INTO m (id, state, lane, run_at) SELECT value ->> 0, 0, 1, 0 FROM json_each(?1)",
    "INSERT INTO body SELECT value ->> 0, value ->> 2 FROM json_each(?1)",
    "INSERT INTO idem SELECT value ->> 1, value ->> 0 FROM json_each(?1)",
];

const SETTLE: &str = "UPDATE m SET state = 4, finished = 1 FROM json_each(?1) AS j
    WHERE m.id = j.value ->> 0 AND m.gen = j.value ->> 1 AND m.state = 1";

const CLAIM: &str = "UPDATE m SET state = 1, gen = gen + 1, attempt = attempt + 1
    WHERE id IN (SELECT id FROM m WHERE state = 0 AND lane = 1 AND run_at <= ?1 ORDER BY run_at, id LIMIT ?2)
    RETURNING id, gen, (SELECT payload FROM body AS b WHERE b.id = m.id)";

pub(crate) struct Raw {
    connection: SqliteConnection,
}

impl Raw {
    pub(crate) async fn open(folder: &Folder) -> Result<Raw, Failure> {
        let options = SqliteConnectOptions::new()
            .filename(folder.file())
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("cache_size", "-65536");
        let mut connection = SqliteConnection::connect_with(&options).await?;
        sqlx::raw_sql(TABLES).execute(&mut connection).await?;
        Ok(Raw { connection })
    }

    pub(crate) async fn accept(&mut self, numbers: std::ops::Range<u32>) -> Result<(), Failure> {
        // The same text for each message as the store is given: recipient and data.
        let rows: Vec<_> = numbers
            .map(|number| {
                let payload = serde_json::json!([recipient(number), data(number)]).to_string();
                (number, key(number), payload)
            })
            .collect();
        let rows = serde_json::to_string(&rows)?;
        let mut transaction = self.connection.begin().await?;
        for statement in ACCEPT {
            sqlx::query(statement).bind(&rows).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Settles what was claimed before and claims the next, in one transaction.
    pub(crate) async fn tick(&mut self, ended: &[(i64, i64)], limit: u32) -> Result<Vec<(i64, i64)>, Failure> {
        let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
        if !ended.is_empty() {
            let rows = serde_json::to_string(ended)?;
            let settled = sqlx::query(SETTLE).bind(rows).execute(&mut *transaction).await?.rows_affected();
            check(settled == ended.len() as u64, || format!("raw SQLite settled {settled} of {}", ended.len()))?;
        }
        let claimed = sqlx::query(CLAIM).bind(1_i64).bind(limit).fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(claimed
            .iter()
            .map(|row| {
                let payload: String = row.get(2);
                drop(payload);
                (row.get(0), row.get(1))
            })
            .collect())
    }

    /// How many have ended.
    pub(crate) async fn ended(mut self) -> Result<i64, Failure> {
        let ended =
            sqlx::query_scalar("SELECT count(*) FROM m WHERE state = 4").fetch_one(&mut self.connection).await?;
        self.connection.close().await?;
        Ok(ended)
    }
}
