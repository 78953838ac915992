//! The write-ahead log, kept short: the writer itself moves what is in it into the file, between its transactions.
//!
//! SQLite would do it inside a commit every thousand pages, and a thread of its own would never find the log at rest.
//! A reader that holds an old state keeps the log from beginning anew; ours are interrupted when it has grown too long,
//! because a log without bound is a disk without room.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;
use tidings_model::limits::LOG_PAGES_MAX;

use crate::error::StoreError;

/// Transactions between two checkpoints, and rows, whichever is reached first: a checkpoint syncs the file, and what it
/// moves is read again from the log until then.
const CHECKPOINT_COMMITS: u32 = 64;
const CHECKPOINT_ROWS: usize = 4096;

/// How readers are told to let go. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct LetGo(Arc<AtomicBool>);

impl LetGo {
    /// Whether a statement under way must end.
    pub(super) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(super) struct Log {
    commits: u32,
    rows: usize,
    let_go: LetGo,
}

impl Log {
    pub(super) fn let_go(&self) -> LetGo {
        self.let_go.clone()
    }

    /// After each transaction, with the rows it wrote.
    pub(super) async fn committed(&mut self, connection: &mut SqliteConnection, rows: usize) -> Result<(), StoreError> {
        self.commits += 1;
        self.rows += rows;
        // Who was to let go has had a transaction's time for it.
        let asked = self.let_go.0.swap(false, Ordering::Relaxed);
        if self.commits < CHECKPOINT_COMMITS && self.rows < CHECKPOINT_ROWS && !asked {
            return Ok(());
        }
        (self.commits, self.rows) = (0, 0);
        let row = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)")
            .fetch_one(connection)
            .await
            .map_err(StoreError::during("move the log into the file"))?;
        let (pages, moved): (i64, i64) = (row.get(1), row.get(2));
        if pages > LOG_PAGES_MAX && moved < pages && !asked {
            tracing::warn!(pages, "a reader keeps the log from beginning anew; readers are interrupted");
            self.let_go.0.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use sqlx::ConnectOptions as _;
    use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};

    use super::*;

    struct Store {
        folder: PathBuf,
        options: SqliteConnectOptions,
    }

    impl Store {
        fn new(name: &str) -> Store {
            let folder = std::env::temp_dir().join(format!("tidings-log-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            let options = SqliteConnectOptions::new()
                .filename(folder.join("log.db"))
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .pragma("wal_autocheckpoint", "0");
            Store { folder, options }
        }

        fn log_bytes(&self) -> u64 {
            std::fs::metadata(self.folder.join("log.db-wal")).unwrap().len()
        }
    }

    impl Drop for Store {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.folder));
        }
    }

    async fn write(connection: &mut SqliteConnection, bytes: u32) {
        let sql = "INSERT INTO t VALUES (randomblob(?1))";
        sqlx::query(sql).bind(bytes).execute(connection).await.unwrap();
    }

    #[tokio::test]
    async fn the_log_begins_anew_after_so_many_rows() {
        let store = Store::new("anew");
        let mut writer = store.options.connect().await.unwrap();
        sqlx::raw_sql("CREATE TABLE t (b)").execute(&mut writer).await.unwrap();
        let mut log = Log::default();
        for _ in 0..20 {
            write(&mut writer, 1 << 20).await;
            log.committed(&mut writer, CHECKPOINT_ROWS).await.unwrap();
        }
        assert!(store.log_bytes() < 4 << 20, "twenty megabytes went through a log of {}", store.log_bytes());
    }

    #[tokio::test]
    async fn a_reader_that_holds_a_long_log_is_interrupted_and_the_next_one_is_not() {
        let store = Store::new("reader");
        let mut writer = store.options.connect().await.unwrap();
        sqlx::raw_sql("CREATE TABLE t (b); INSERT INTO t VALUES (1)").execute(&mut writer).await.unwrap();
        let mut log = Log::default();
        let let_go = log.let_go();
        let mut reader = store.options.connect().await.unwrap();
        reader.lock_handle().await.unwrap().set_progress_handler(1000, move || !let_go.is_asked());
        let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n, t";
        let reading = tokio::spawn(async move {
            let answer = sqlx::query(endless).fetch_one(&mut reader).await;
            (answer.map(drop), reader)
        });
        // It holds the first state from its first step on; the writer goes on meanwhile.
        let mut ended = false;
        for _ in 0..200 {
            write(&mut writer, 1 << 20).await;
            log.committed(&mut writer, CHECKPOINT_ROWS).await.unwrap();
            ended = reading.is_finished();
            if ended {
                break;
            }
        }
        assert!(ended, "the reader was told to let go");
        let (answer, mut reader) = reading.await.unwrap();
        assert!(answer.unwrap_err().to_string().contains("interrupted"));
        log.committed(&mut writer, CHECKPOINT_ROWS).await.unwrap();
        sqlx::query("SELECT count(*) FROM t").fetch_one(&mut reader).await.unwrap();
    }
}
