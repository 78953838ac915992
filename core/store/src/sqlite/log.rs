//! The write-ahead log, kept short: the writer itself moves what is in it into the file, between its transactions.
//!
//! SQLite would do it inside a commit every thousand pages, and a thread of its own would never find the log at rest.
//! A reader that holds an old state keeps the log from beginning anew; ours are interrupted when it has grown too long,
//! because a log without bound is a disk without room.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;
use tidings_model::limits::LOG_PAGES_MAX;

use crate::error::StoreError;

/// Transactions between two checkpoints, and rows, whichever is reached first: a checkpoint syncs the file, and what it
/// moves is read again from the log until then.
const CHECKPOINT_COMMITS: u32 = 64;
const CHECKPOINT_ROWS: usize = 4096;

/// How long readers are told to let go: whoever is in the middle of a statement looks many times as often.
const LET_GO_MS: u64 = 50;

/// How readers are told to let go. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct LetGo {
    since: Instant,
    /// Until when, in milliseconds since then; 0 if never.
    until: Arc<AtomicU64>,
}

impl LetGo {
    /// Whether a statement under way must end.
    pub(super) fn is_asked(&self) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        until > 0 && self.elapsed_ms() < until
    }

    fn ask(&self) {
        self.until.store(self.elapsed_ms() + LET_GO_MS, Ordering::Relaxed);
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[derive(Debug)]
pub(super) struct Log {
    commits: u32,
    rows: usize,
    let_go: LetGo,
    /// Readers were told to let go of the log as it is now. If that did not help, it is held by somebody who is not told
    /// (a backup, another program), and telling the others again would only hurt them.
    told: bool,
}

impl Log {
    pub(super) fn new() -> Log {
        let let_go = LetGo { since: Instant::now(), until: Arc::default() };
        Log { commits: 0, rows: 0, let_go, told: false }
    }

    pub(super) fn let_go(&self) -> LetGo {
        self.let_go.clone()
    }

    /// After each transaction, with the rows it wrote.
    pub(super) async fn committed(&mut self, connection: &mut SqliteConnection, rows: usize) -> Result<(), StoreError> {
        self.commits += 1;
        self.rows += rows;
        if self.commits < CHECKPOINT_COMMITS && self.rows < CHECKPOINT_ROWS {
            return Ok(());
        }
        (self.commits, self.rows) = (0, 0);
        let row = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)")
            .fetch_one(connection)
            .await
            .map_err(StoreError::during("move the log into the file"))?;
        let (pages, moved): (i64, i64) = (row.get(1), row.get(2));
        if pages <= LOG_PAGES_MAX || moved == pages {
            self.told = false;
        } else if !self.told {
            tracing::warn!(pages, "a reader keeps the log from beginning anew; readers are interrupted");
            self.let_go.ask();
            self.told = true;
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
        let mut log = Log::new();
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
        let mut log = Log::new();
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
        assert!(!log.told, "the log began anew");
        while log.let_go().is_asked() {
            tokio::task::yield_now().await;
        }
        sqlx::query("SELECT count(*) FROM t").fetch_one(&mut reader).await.unwrap();
    }
}
