//! Space set aside for the day the disk is full: a file beside the store, given up so that the outcomes of what is on
//! its way can still be written. It is laid again when there is room, and its being laid is how we know that there is.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use tidings_model::limits::BALLAST_BYTES;

use crate::error::StoreError;

/// Written in pieces of this size. Not zeros: a file system that compresses would set nothing aside.
const PIECE_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Ballast {
    path: PathBuf,
}

impl Ballast {
    pub(crate) fn beside(store: &Path) -> Ballast {
        let mut name = store.as_os_str().to_owned();
        name.push(".ballast");
        Ballast { path: PathBuf::from(name) }
    }

    /// Sets the space aside, or nothing of it.
    pub(crate) fn lay(&self) -> Result<(), StoreError> {
        if std::fs::metadata(&self.path).is_ok_and(|found| found.len() == BALLAST_BYTES) {
            return Ok(());
        }
        self.write().map_err(|source| {
            self.release();
            match source.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => self.full(),
                _ => StoreError::File { action: "set space aside in", path: self.path.display().to_string(), source },
            }
        })
    }

    pub(crate) fn full(&self) -> StoreError {
        StoreError::Full { path: self.path.display().to_string() }
    }

    fn write(&self) -> std::io::Result<()> {
        let mut file: File = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let mut left = BALLAST_BYTES;
        let mut word = 0x9e37_79b9_7f4a_7c15_u64;
        while left > 0 {
            piece.clear();
            while piece.len() < PIECE_BYTES {
                word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                piece.extend_from_slice(&word.to_le_bytes());
            }
            let length = usize::try_from(left).map_or(piece.len(), |left| left.min(piece.len()));
            file.write_all(&piece[..length])?;
            left -= length as u64;
        }
        // A file system may promise space that it does not have, until it is asked to keep the promise.
        file.sync_all()
    }

    /// Gives the space up. That it is gone already is as good.
    pub(crate) fn release(&self) {
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!("remove `{}`: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ballast_is_laid_once_and_gone_when_released() {
        let folder = std::env::temp_dir().join(format!("tidings-ballast-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let ballast = Ballast::beside(&folder.join("tidings.db"));
        ballast.lay().unwrap();
        assert_eq!(std::fs::metadata(folder.join("tidings.db.ballast")).unwrap().len(), BALLAST_BYTES);
        ballast.lay().unwrap();
        ballast.release();
        ballast.release();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_cannot_be_laid_leaves_nothing() {
        let folder = std::env::temp_dir().join(format!("tidings-no-ballast-{}", std::process::id()));
        let ballast = Ballast::beside(&folder.join("not-there/tidings.db"));
        assert!(matches!(ballast.lay(), Err(StoreError::File { .. })));
    }
}
