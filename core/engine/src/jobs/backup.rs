//! The job that copies the store into a folder, and keeps the newest copies there.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tidings_model::{RunId, Timestamp};
use tidings_store::StoreError;

use super::{Course, Cut, Outcome};

/// How a copy's name ends.
const END: &str = ".db";
/// How the name of one ends that is not whole.
const PART: &str = ".db.part";

impl Course<'_> {
    /// One copy at a time is made of a store: it waits for others.
    pub(super) async fn backup(&self, folder: &Path, keep: u32) -> Result<Outcome, Cut> {
        let _turn = self.jobs.backing_up.lock().await;
        off_the_runtime(folder, make_ready).await?;
        let target = folder.join(name(self.row.nominal_at, self.row.id));
        let begun = Instant::now();
        let bytes = match self.jobs.reader.backup(&target).await {
            Ok(bytes) => bytes,
            // The name has the run in it: it was made by this run, before an interruption.
            Err(StoreError::Exists { .. }) => std::fs::metadata(&target).map_or(0, |found| found.len()),
            Err(error) => {
                let cause = std::error::Error::source(&error).map_or(String::new(), |cause| format!(": {cause}"));
                return Err(Cut::Failed(format!("{error}{cause}")));
            }
        };
        let took_ms = begun.elapsed().as_millis();
        let old = off_the_runtime(folder, move |folder| keep_newest(folder, keep)).await;
        let old = old.map_err(|cut| match cut {
            Cut::Failed(reason) => Cut::Failed(format!("`{}` was made; {reason}", target.display())),
            cut => cut,
        })?;
        let result = format!("{bytes} bytes in `{}`, in {took_ms} ms; {old} older copies removed", target.display());
        Ok(Outcome::of(1, result))
    }
}

/// Does something to a folder where it may take its time.
async fn off_the_runtime<T: Send + 'static>(
    folder: &Path,
    work: impl FnOnce(&Path) -> Result<T, String> + Send + 'static,
) -> Result<T, Cut> {
    let folder = folder.to_path_buf();
    let done = tokio::task::spawn_blocking(move || work(&folder)).await;
    done.unwrap_or_else(|error| Err(error.to_string())).map_err(Cut::Failed)
}

/// Makes the folder, if it is not there, and removes from it what a crash left half made.
fn make_ready(folder: &Path) -> Result<(), String> {
    let failed = |action: &str, error: io::Error| format!("{action} `{}`: {error}", folder.display());
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| failed("make the folder", error))?;
    for part in ours(folder, PART).map_err(|error| failed("look into", error))? {
        std::fs::remove_file(&part).map_err(|error| format!("remove the unfinished `{}`: {error}", part.display()))?;
    }
    Ok(())
}

/// Removes all copies but the newest so many, and says how many those were.
fn keep_newest(folder: &Path, keep: u32) -> Result<usize, String> {
    let mut copies = ours(folder, END).map_err(|error| format!("look into `{}`: {error}", folder.display()))?;
    copies.sort();
    let old = copies.len().saturating_sub(keep as usize);
    for copy in &copies[..old] {
        std::fs::remove_file(copy).map_err(|error| format!("remove the old `{}`: {error}", copy.display()))?;
    }
    Ok(old)
}

/// `tidings-20260131T040000Z-run_7.db`: in the order of their times.
fn name(nominal: Timestamp, run: RunId) -> String {
    let instant: String = nominal.to_rfc3339().chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let seconds = instant.split('.').next().unwrap_or_default().trim_end_matches('Z');
    format!("tidings-{seconds}Z-{run}{END}")
}

/// The files of a folder that a job named, with that end. Nothing else in it is touched.
fn ours(folder: &Path, end: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|name| is_ours(name, end));
        if is_ours && entry.file_type()?.is_file() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn is_ours(name: &str, end: &str) -> bool {
    let inner = name.strip_prefix("tidings-").and_then(|rest| rest.strip_suffix(end));
    inner.and_then(|inner| inner.split_once("Z-run_")).is_some_and(|(instant, run)| {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (day, time) = instant.split_once('T').unwrap_or_default();
        day.len() == 8 && time.len() == 6 && digits(day) && digits(time) && digits(run)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_known_by_its_name_and_nothing_else_is() {
        let made = name(Timestamp::from_rfc3339("2026-01-31T04:00:00.250Z").unwrap(), RunId(7));
        assert_eq!(made, "tidings-20260131T040000Z-run_7.db");
        assert!(is_ours(&made, END) && !is_ours(&made, PART) && is_ours(&format!("{made}.part"), PART));
        for other in [
            "tidings.db",
            "tidings-2026.db",
            "tidings-20260131T040000Z-run_.db",
            "tidings-20260131T040000Z-run_7.db-wal",
        ] {
            assert!(!is_ours(other, END), "{other}");
        }
    }
}
