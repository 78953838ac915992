//! A copy of the store while the engine runs.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tidings_store::StoreError;

use crate::acts::By;
use crate::handle::EngineHandle;
use crate::refusal::{Class, Refusal};

/// A copy that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
}

impl EngineHandle {
    /// Copies what is committed into a new file on the engine's machine; a relative path starts where the engine does.
    /// One at a time: each keeps the log from beginning anew. A caller that goes away does not stop it.
    pub async fn backup(&self, path: &Path, by: &By) -> Result<Backup, Refusal> {
        let Ok(turn) = self.shared.backing_up.clone().try_lock_owned() else {
            return Err(Refusal::new(
                Class::Conflict,
                "backup-running",
                "another backup is being made; wait for its end",
            ));
        };
        let path = std::path::absolute(path)
            .map_err(|error| Refusal::invalid("backup-path", format!("back up to `{}`: {error}", path.display())))?;
        let (reader, writer) = (self.reader().clone(), self.shared.writer.clone());
        let mut entry = by.entry("backup.make", path.display().to_string());
        let copying = tokio::spawn(async move {
            let _turn = turn;
            let begun = Instant::now();
            let made = reader.backup(&path).await.map(|bytes| Backup { path, bytes, took: begun.elapsed() });
            match &made {
                Ok(made) => {
                    let took_ms = u64::try_from(made.took.as_millis()).unwrap_or(u64::MAX);
                    tracing::info!(bytes = made.bytes, took_ms, "backed up to `{}`", made.path.display());
                    entry.detail = Some(format!("{} bytes", made.bytes));
                    // The copy is there whether or not the store takes a line about it now.
                    if let Err(refusal) = writer.record(entry).await {
                        tracing::warn!("record a backup: {refusal}");
                    }
                }
                Err(error) => tracing::warn!("{}", Refusal::store(error)),
            }
            made
        });
        match copying.await {
            Ok(made) => made.map_err(refusal),
            // A runtime that ends, or a broken invariant, told in the log.
            Err(_) => Err(Refusal::stopping()),
        }
    }
}

fn refusal(error: StoreError) -> Refusal {
    match error {
        StoreError::Exists { .. } => Refusal::new(Class::Conflict, "backup-exists", error.to_string()),
        StoreError::Unfinished { .. } => Refusal::new(Class::Conflict, "backup-unfinished", error.to_string()),
        StoreError::File { ref source, .. } => Refusal::invalid("backup-path", format!("{error}: {source}")),
        StoreError::NotInAFile => Refusal::new(Class::Conflict, "backup-elsewhere", error.to_string()),
        other => Refusal::store(&other),
    }
}
