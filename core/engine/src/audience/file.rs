//! The rows of a file, read off the runtime: a portion ahead and no more. A file that is another than it was is noticed.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::feed::{FeedError, PORTION_ROWS_MAX, Place, Portion};
use super::{AudienceError, Rows, rows_of};

/// What tells a file from another, or from what it was before.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    bytes: u64,
    modified_s: i64,
    modified_ns: i64,
    inode: u64,
}

impl Identity {
    fn of(found: &Metadata) -> Identity {
        let (modified_s, modified_ns) = (found.mtime(), found.mtime_nsec());
        Identity { bytes: found.size(), modified_s, modified_ns, inode: found.ino() }
    }
}

/// Behind a line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilePlace {
    identity: Identity,
    /// The line in which the last row began that was taken.
    line: u64,
}

impl FilePlace {
    pub(super) fn to_json(&self) -> Value {
        let Identity { bytes, modified_s, modified_ns, inode } = self.identity;
        json!([bytes, modified_s, modified_ns, inode, self.line])
    }

    pub(super) fn read(value: &Value) -> Option<FilePlace> {
        let [bytes, modified_s, modified_ns, inode, line] = value.as_array()?.as_slice() else { return None };
        let identity = Identity {
            bytes: bytes.as_u64()?,
            modified_s: modified_s.as_i64()?,
            modified_ns: modified_ns.as_i64()?,
            inode: inode.as_u64()?,
        };
        Some(FilePlace { identity, line: line.as_u64()? })
    }
}

/// See [`super::Feed::of_file`].
pub(crate) struct FileRows {
    portions: mpsc::Receiver<Result<Portion, FeedError>>,
}

impl FileRows {
    pub(super) fn open(path: &Path, place: Option<FilePlace>) -> Result<FileRows, FeedError> {
        let mut watched = None;
        let rows = rows_of(path, |path| {
            let file = File::open(path)?;
            watched = Some(file.try_clone()?);
            Ok(file)
        });
        let rows = rows.map_err(|error| FeedError::Unusable(told(&error)))?;
        let file = watched.expect("rows are of a file that was opened");
        let unread = |error: io::Error| FeedError::Unusable(format!("read audience `{}`: {error}", path.display()));
        let identity = Identity::of(&file.metadata().map_err(unread)?);
        let behind = match place {
            None => 0,
            Some(place) if place.identity == identity => place.line,
            Some(place) => {
                let detail = format!(
                    "the audience `{}` is another file, or was changed, since line {} of it was taken",
                    path.display(),
                    place.line
                );
                return Err(FeedError::Changed(detail));
            }
        };
        let (sender, portions) = mpsc::channel(1);
        let shown = path.display().to_string();
        // It ends with the file, or when nobody takes the next portion.
        drop(tokio::task::spawn_blocking(move || read(rows, &file, &identity, behind, &shown, &sender)));
        Ok(FileRows { portions })
    }

    pub(super) async fn next(&mut self) -> Result<Option<Portion>, FeedError> {
        self.portions.recv().await.transpose()
    }
}

fn read(
    rows: Rows,
    file: &File,
    identity: &Identity,
    behind: u64,
    path: &str,
    sender: &mpsc::Sender<Result<Portion, FeedError>>,
) {
    let mut rows = rows.filter(|(line, _)| *line > behind);
    loop {
        let taken: Vec<_> = rows.by_ref().take(PORTION_ROWS_MAX).collect();
        let Some((line, _)) = taken.last() else { return };
        let place = Place::File(FilePlace { identity: identity.clone(), line: *line });
        let rows =
            taken.into_iter().map(|(line, row)| (format!("line-{line}"), row.map_err(|problem| problem.to_string())));
        let portion = Portion { rows: rows.collect(), place };
        // What is put in the place of the file is another file; what is written into it is seen here.
        let portion = match file.metadata() {
            Ok(found) if Identity::of(&found) == *identity => Ok(portion),
            Ok(_) => Err(FeedError::Unusable(format!(
                "the audience `{path}` was written to while it was read; give it a new file under its name instead"
            ))),
            Err(error) => Err(FeedError::Unusable(format!("read audience `{path}`: {error}"))),
        };
        let is_over = portion.is_err();
        if sender.blocking_send(portion).is_err() || is_over {
            return;
        }
    }
}

fn told(error: &AudienceError) -> String {
    let cause = std::error::Error::source(error).map_or(String::new(), |cause| format!(": {cause}"));
    format!("{error}{cause}")
}
