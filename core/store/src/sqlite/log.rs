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
