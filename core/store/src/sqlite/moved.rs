//! The mark of a file whose store was moved into a database: nobody opens it for work any more, or what waits in both would
//! be sent twice.
//!
//! A move ends in two places that share no transaction. The file gets its mark first, synced, and the database loses its own
//! ("incomplete") after that (`shared/moving.rs`):
//!
//! | A crash comes | the file | the database |
//! |---|---|---|
//! | before the mark | opens | is incomplete, and is filled anew by the next `migrate` |
//! | between the two | is marked | is incomplete, and of the very move that the mark names |
//! | after the second | is marked | opens |
//!
//! So there is no instant at which both open. Where neither does, everything is in the file, and there are two ways out: the
//! same `migrate` again, which takes a marked file if the database is incomplete by the move of the mark, and by no other;
//! or [`forget_move`], after which the file is a store as before.

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tidings_model::Timestamp;

use super::{file_of, take_lock, there};
use crate::error::StoreError;

/// Where a store went, when, and by which move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The database, without user and password.
    pub(crate) to: String,
    pub(crate) at: Timestamp,
    /// The name that the database gave this move.
    pub(crate) by: String,
}

impl Mark {
    /// What a file says of itself. One that is no store of ours, or is still empty, says nothing.
    pub(crate) async fn read(connection: &mut SqliteConnection) -> Result<Option<Mark>, sqlx::Error> {
        let is_store: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pragma_table_list('meta'))")
            .fetch_one(&mut *connection)
            .await?;
        if !is_store {
            return Ok(None);
        }
        let found: Option<String> =
            sqlx::query_scalar("SELECT value FROM meta WHERE key = 'moved'").fetch_optional(connection).await?;
        Ok(found.map(|text| Mark::of(&text)))
    }

    /// Marks the file, or marks it anew: it is on disk when this answers.
    pub(crate) async fn write(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let mark = "INSERT INTO meta (key, value) VALUES ('moved', $1)
                    ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        let done = sqlx::query(mark).bind(format!("{} {} {}", self.at.0, self.by, self.to)).execute(connection).await;
        done.map(drop).map_err(StoreError::during("mark the file as moved"))
    }

    /// A mark that cannot be read is one all the same: a file is opened by nobody rather than by two.
    fn of(text: &str) -> Mark {
        let mut words = text.splitn(3, ' ');
        let at = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
        let by = words.next().unwrap_or_default().to_owned();
        Mark { at: Timestamp(at), by, to: words.next().unwrap_or_default().to_owned() }
    }

    /// What whoever wants to work with the file is told.
    pub(crate) fn refusal(&self, path: &str) -> StoreError {
        StoreError::Moved { path: path.to_owned(), to: self.to.clone(), at: self.at }
    }
}

/// Takes the mark from the file at `sqlite://FILE`, which no engine has open: it is a store again, as it was when it was moved.
/// What was done in the database since is not in it, so whoever has engines on both sends twice what waited then. Answers
/// where the mark said it had gone, and when; `None` if it had none.
///
/// # Errors
///
/// [`StoreError::Locked`] if somebody has the file, [`StoreError::Unusable`] if it is no store.
pub async fn forget_move(url: &str) -> Result<Option<(String, Timestamp)>, StoreError> {
    let path = file_of(url)?;
    there(&path)?;
    let _lock = take_lock(&path)?;
    let shown = path.display().to_string();
    let unusable = |source| StoreError::Unusable { path: shown.clone(), source };
    let options = SqliteConnectOptions::new().filename(&path);
    let mut connection = options.connect().await.map_err(unusable)?;
    let mark = Mark::read(&mut connection).await.map_err(unusable)?;
    if mark.is_some() {
        let remove = sqlx::query("DELETE FROM meta WHERE key = 'moved'").execute(&mut connection).await;
        remove.map_err(StoreError::during("take the mark from the file"))?;
    }
    connection.close().await.map_err(StoreError::during("close store"))?;
    Ok(mark.map(|mark| (mark.to, mark.at)))
}
