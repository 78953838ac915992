//! The SQLite store: opening it, and what is true of every connection to it.
//!
//! WAL with `synchronous = FULL`: what was answered survives a power cut. One write connection, on the writer's task;
//! readers are read-only. Settings are read back, because SQLite ignores an unknown or impossible pragma in silence.

mod backup;
mod ballast;
mod examine;
mod log;
mod moved;

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::error::StoreError;
use crate::postgres::Lease;
use crate::shared::{self, Reader, Writer};
use crate::sql::{self, Pool};
pub(crate) use backup::backup;
use ballast::Ballast;
pub use examine::Examined;
pub(crate) use examine::examine;
use log::Log;
pub(crate) use moved::Mark;
pub use moved::forget_move;

/// Every schema there was, oldest first: the number in the file is how many of them it has.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/sqlite/0001_first.sql"),
    include_str!("../migrations/sqlite/0002_fewer_indexes.sql"),
    include_str!("../migrations/sqlite/0003_dead_letters.sql"),
    include_str!("../migrations/sqlite/0004_told_and_acted.sql"),
    include_str!("../migrations/sqlite/0005_receipts_and_acts.sql"),
    include_str!("../migrations/sqlite/0006_schedules_runs_lookups.sql"),
];

/// The release that fixed the corruption after a WAL reset (3.7.0 to 3.51.2 have it).
const SQLITE_MIN: (u32, u32, u32) = (3, 51, 3);

/// Rows handed from SQLite's thread to ours at a time. A statement of the writer returns a whole batch, and each hop
/// between threads costs as much as many rows.
const ROWS_PER_HOP: usize = 1024;

/// Steps of SQLite's machine between two looks whether a reader has to let go: some microseconds.
const STEPS_PER_LOOK: i32 = 1000;

/// Pages the writer keeps in memory, in KiB as SQLite has it: the ends of the queue and the roots of every index, of a
/// store of any size.
const CACHE: &str = "-24576";

/// Reader connections: a screen, a script and a list at once.
const READERS_MAX: u32 = 4;

/// How long a reader waits for a free connection.
const READER_WAIT: Duration = Duration::from_secs(5);

/// Opens the store at `sqlite://FILE`, making or upgrading it if need be.
///
/// # Errors
///
/// [`StoreError::Locked`] if another engine has it, [`StoreError::Newer`] if a newer program wrote it,
/// [`StoreError::Moved`] if it went into a database, and [`StoreError::Unsafe`] if SQLite does not do what safety needs.
pub(crate) async fn open(url: &str) -> Result<(Writer, Reader), StoreError> {
    open_to(Aim::Work, url).await.map(|(writer, reader, _)| (writer, reader))
}

/// The same of a file that is there, to move it: the mark of a move that did not end, or that did, is for the caller.
pub(crate) async fn open_to_move(url: &str) -> Result<(Writer, Option<Mark>), StoreError> {
    there(&file_of(url)?)?;
    open_to(Aim::Move, url).await.map(|(writer, _, mark)| (writer, mark))
}

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aim {
    Work,
    Move,
}

async fn open_to(aim: Aim, url: &str) -> Result<(Writer, Reader, Option<Mark>), StoreError> {
    let path = file_of(url)?;
    let lock = take_lock(&path)?;
    let shown = path.display().to_string();
    make_private(&path)?;
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(false)
        .busy_timeout(Duration::from_secs(5))
        .row_buffer_size(ROWS_PER_HOP)
        .pragma("cache_size", CACHE)
        .pragma("temp_store", "MEMORY")
        .pragma("journal_size_limit", "67108864")
        .pragma("wal_autocheckpoint", "0");
    let mut connection = connect(&options, &shown).await?;
    let mark = Mark::read(&mut connection).await.map_err(StoreError::during("look whether the store was moved"))?;
    if let (Aim::Work, Some(mark)) = (aim, &mark) {
        return Err(mark.refusal(&shown));
    }
    migrate(&mut connection, &shown, MIGRATIONS).await?;

    let log = Log::new();
    let let_go = log.let_go();
    let pool = SqlitePoolOptions::new()
        .after_connect(move |connection, _| {
            let let_go = let_go.clone();
            Box::pin(async move {
                connection.lock_handle().await?.set_progress_handler(STEPS_PER_LOOK, move || !let_go.is_asked());
                Ok(())
            })
        })
        .max_connections(READERS_MAX)
        .acquire_timeout(READER_WAIT)
        .connect_with(options.clone().read_only(true).create_if_missing(false).pragma("cache_size", "-4096"))
        .await
        .map_err(StoreError::during("open store for reading"))?;
    let home = Home { options, path: shown, ballast: Ballast::beside(&path), log, _lock: lock };
    let writer = Writer::begin(connection.into(), shared::Home::File(Box::new(home))).await?;
    Ok((writer, Reader::new(Pool::Sqlite(pool), Lease::default()), mark))
}

/// A file, and what belongs to it.
#[derive(Debug)]
pub(crate) struct Home {
    /// How to connect again.
    options: SqliteConnectOptions,
    /// The file, for people.
    path: String,
    pub(crate) ballast: Ballast,
    log: Log,
    /// Held as long as the writer lives: the file is ours.
    _lock: File,
}

impl Home {
    pub(crate) async fn connect(&self) -> Result<sql::Connection, StoreError> {
        Ok(connect(&self.options, &self.path).await?.into())
    }

    /// After each transaction, with the rows it wrote.
    pub(crate) async fn committed(&mut self, connection: &mut sql::Connection, rows: usize) -> Result<(), StoreError> {
        self.log.committed(connection.sqlite(), rows).await
    }
}

/// A connection that may write, once it is shown that SQLite does what safety needs.
async fn connect(options: &SqliteConnectOptions, path: &str) -> Result<SqliteConnection, StoreError> {
    let unusable = |source| StoreError::Unusable { path: path.to_owned(), source };
    let mut connection = options.connect().await.map_err(unusable)?;
    check_version(&mut connection, path).await?;
    check_pragma(&mut connection, path, "journal_mode", "wal").await?;
    check_pragma(&mut connection, path, "synchronous", "2").await?;
    Ok(connection)
}

pub(crate) fn file_of(url: &str) -> Result<PathBuf, StoreError> {
    match url.strip_prefix("sqlite://") {
        // What is in memory alone is no store.
        Some(path) if !path.is_empty() && path != ":memory:" => Ok(PathBuf::from(path)),
        _ => Err(StoreError::Address { url: url.to_owned() }),
    }
}

/// Opening would make a file where there is none.
fn there(path: &Path) -> Result<(), StoreError> {
    let refuse = |source| StoreError::File { action: "open store", path: path.display().to_string(), source };
    std::fs::metadata(path).map(drop).map_err(refuse)
}

/// One engine per file. The lock stands on a file beside the store, because SQLite's own locks come and go; the kernel
/// lets go of it when the process ends, however it ends.
fn take_lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let shown = name.display().to_string();
    let file_error = |action| {
        let path = shown.clone();
        move |source| StoreError::File { action, path, source }
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&name)
        .map_err(file_error("open lock"))?;
    if file.try_lock().is_err() {
        let mut holder = String::new();
        // What the holder wrote is a courtesy; the refusal does not depend on it.
        if file.read_to_string(&mut holder).is_err() || holder.trim().is_empty() {
            holder = "another process".to_owned();
        }
        return Err(StoreError::Locked { path: path.display().to_string(), holder: holder.trim().to_owned() });
    }
    file.set_len(0).map_err(file_error("clear lock"))?;
    file.seek(SeekFrom::Start(0)).map_err(file_error("write lock"))?;
    writeln!(file, "process {}", std::process::id()).map_err(file_error("write lock"))?;
    Ok(file)
}

/// Makes the file, if it is not there, for its owner alone: tokens and credentials stand in it. SQLite gives the files
/// beside it the same rights. What is there and open to others, after a restore say, is closed to them.
fn make_private(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(source) => {
            return Err(StoreError::File { action: "make store", path: path.display().to_string(), source });
        }
    }
    for end in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        close_to_others(Path::new(&name));
    }
    Ok(())
}

/// Takes from all but the owner what rights they have, and says so. A file of another owner is used as it is: to refuse
/// it would stop the engine and hide nothing.
fn close_to_others(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let Ok(found) = std::fs::metadata(path) else { return };
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return;
    }
    let shown = path.display();
    match std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)) {
        Ok(()) => tracing::warn!("`{shown}` was open to others ({mode:03o}); its rights are 600 now"),
        Err(error) => tracing::warn!("`{shown}` is open to others ({mode:03o}) and cannot be closed to them: {error}"),
    }
}

async fn check_version(connection: &mut SqliteConnection, path: &str) -> Result<(), StoreError> {
    let found: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(connection)
        .await
        .map_err(StoreError::during("ask SQLite for its version"))?;
    let mut parts = found.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if version >= SQLITE_MIN {
        return Ok(());
    }
    Err(StoreError::Unsafe { path: path.to_owned(), setting: "SQLite version", found, expected: "3.51.3 or newer" })
}

async fn check_pragma(
    connection: &mut SqliteConnection,
    path: &str,
    setting: &'static str,
    expected: &'static str,
) -> Result<(), StoreError> {
    let query = match setting {
        "journal_mode" => "SELECT CAST(journal_mode AS TEXT) FROM pragma_journal_mode",
        _ => "SELECT CAST(synchronous AS TEXT) FROM pragma_synchronous",
    };
    let found: String =
        sqlx::query_scalar(query).fetch_one(connection).await.map_err(StoreError::during("read back a setting"))?;
    if found == expected {
        return Ok(());
    }
    Err(StoreError::Unsafe { path: path.to_owned(), setting, found, expected })
}

/// Brings the file from the schema it has to the last of these, each step with its number in a transaction of its own:
/// a step that fails leaves the file as the step before it made it.
async fn migrate(connection: &mut SqliteConnection, path: &str, migrations: &[&'static str]) -> Result<(), StoreError> {
    let during = || StoreError::during("bring the schema up to date");
    let found: i64 = sqlx::query_scalar("SELECT user_version FROM pragma_user_version")
        .fetch_one(&mut *connection)
        .await
        .map_err(during())?;
    let known = i64::try_from(migrations.len()).expect("there are few migrations");
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    for (version, migration) in (1_i64..).zip(migrations).skip(usize::try_from(found).unwrap_or(0)) {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(during())?;
        sqlx::raw_sql(*migration).execute(&mut *transaction).await.map_err(during())?;
        let mark = sqlx::AssertSqlSafe(format!("PRAGMA user_version = {version}"));
        sqlx::raw_sql(mark).execute(&mut *transaction).await.map_err(during())?;
        transaction.commit().await.map_err(during())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
