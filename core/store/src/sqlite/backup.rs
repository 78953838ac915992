//! A consistent copy of a store: `VACUUM INTO`, from a read transaction of its own, while the writer goes on.
//!
//! The copy is written under another name, synced, and only then given its own: there is never half a backup. As long as
//! it is being made, the log of the store cannot begin anew, and grows by what is written meanwhile.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use super::{Mark, file_of, take_lock, there};
use crate::error::StoreError;
use crate::shared::Reader;
use crate::sql::Pool;

impl Reader {
    /// Copies what is committed into a new file that only its owner can read. Gives its size.
    ///
    /// # Errors
    ///
    /// [`StoreError::Exists`] if there is a file: none is written over.
    pub async fn backup(&self, target: &Path) -> Result<u64, StoreError> {
        match self.pool() {
            Pool::Sqlite(pool) => copy(&pool.connect_options(), target).await,
            Pool::Postgres(..) => Err(StoreError::NotInAFile),
        }
    }
}

/// Copies the store of an address that no engine has open, without changing it.
///
/// # Errors
///
/// As [`Reader::backup`]; [`StoreError::Locked`] if an engine has it, [`StoreError::Moved`] if what is worth a copy is in a
/// database by now.
pub(crate) async fn backup(url: &str, target: &Path) -> Result<u64, StoreError> {
    let path = file_of(url)?;
    there(&path)?;
    let _lock = take_lock(&path)?;
    let options = SqliteConnectOptions::new().filename(&path).read_only(true);
    let during = || StoreError::during("look whether the store was moved");
    let mut connection = options.connect().await.map_err(during())?;
    if let Some(mark) = Mark::read(&mut connection).await.map_err(during())? {
        return Err(mark.refusal(&path.display().to_string()));
    }
    connection.close().await.map_err(during())?;
    copy(&options, target).await
}

async fn copy(options: &SqliteConnectOptions, target: &Path) -> Result<u64, StoreError> {
    let refuse = |action| {
        let path = target.display().to_string();
        move |source| StoreError::File { action, path, source }
    };
    if target.symlink_metadata().is_ok() {
        return Err(StoreError::Exists { path: target.display().to_string() });
    }
    let part = Part::make(target)?;
    let name = part.path.to_str().ok_or_else(|| refuse("back up to")(ErrorKind::InvalidFilename.into()))?.to_owned();
    let during = || StoreError::during("copy the store");
    let mut connection: SqliteConnection = options.connect().await.map_err(during())?;
    sqlx::query("VACUUM INTO ?1").bind(name).execute(&mut connection).await.map_err(during())?;
    connection.close().await.map_err(during())?;
    let goal = target.to_path_buf();
    // SQLite does not sync what it copies into.
    let kept = tokio::task::spawn_blocking(move || part.keep_as(&goal)).await.expect("the copy is kept or refused");
    match kept {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(StoreError::Exists { path: target.display().to_string() })
        }
        other => other.map_err(refuse("keep backup")),
    }
}

/// A copy that is not whole yet: it goes away unless it is kept.
struct Part {
    path: PathBuf,
}

impl Part {
    /// Makes the file, for its owner alone; SQLite writes into an empty one as into none.
    fn make(target: &Path) -> Result<Part, StoreError> {
        let mut path = target.as_os_str().to_owned();
        path.push(".part");
        let path = PathBuf::from(path);
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(_) => Ok(Part { path }),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(StoreError::Unfinished { path: path.display().to_string() })
            }
            Err(source) => Err(StoreError::File { action: "back up to", path: path.display().to_string(), source }),
        }
    }

    /// Syncs it and gives it its name, with the folder; a file of that name that came meanwhile stays.
    fn keep_as(self, target: &Path) -> std::io::Result<u64> {
        let file = File::open(&self.path)?;
        file.sync_all()?;
        // A link is refused where a file is; a file system without links has renaming alone.
        match std::fs::hard_link(&self.path, target) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists && target.symlink_metadata().is_err() => {
                std::fs::rename(&self.path, target)?;
            }
            linked => linked?,
        }
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
        Ok(file.metadata()?.len())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        for end in ["", "-journal"] {
            let mut path = self.path.clone().into_os_string();
            path.push(end);
            // What was kept has its own name by now, and what was never there need not go.
            drop(std::fs::remove_file(path));
        }
    }
}
