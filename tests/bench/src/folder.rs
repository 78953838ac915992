//! A fresh folder for the stores of one measurement, gone afterwards.

use std::fs::DirBuilder;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes one inside `place`, or where temporary things go.
    pub(crate) fn make(place: Option<&Path>) -> Result<Folder, Failure> {
        let place = place.map_or_else(std::env::temp_dir, Path::to_path_buf);
        let path = place.join(format!("tidings-bench-{:016x}", RandomState::new().build_hasher().finish()));
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| Failure::new(format!("make folder `{}`: {error}", path.display())))?;
        Ok(Folder { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The address of the store in it.
    pub(crate) fn store(&self) -> String {
        format!("sqlite://{}", self.file().display())
    }

    /// The file of that store.
    pub(crate) fn file(&self) -> PathBuf {
        self.path.join("tidings.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that stays behind in the temporary place is no reason to fail.
        drop(std::fs::remove_dir_all(&self.path));
    }
}
