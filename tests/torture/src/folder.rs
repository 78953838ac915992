//! A temporary folder of a run's own.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::trouble::Outcome;

/// Gone with its value, unless it is kept.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    /// A new one. What is there already is not used, and nobody else looks in.
    pub(crate) fn make(keep: bool) -> Outcome<Folder> {
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        // Links are resolved, because the shim compares paths; short, because a socket's path has 107 bytes at most.
        let place = std::env::temp_dir().canonicalize()?;
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let path = place.join(format!("tidings-torture-{}-{number}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Folder { path, keep })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.keep {
            eprintln!("kept: {}", self.path.display());
        } else {
            // What stays behind in the temporary place is no reason to fail.
            drop(std::fs::remove_dir_all(&self.path));
        }
    }
}
