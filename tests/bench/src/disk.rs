//! What one sync of the disk takes: the floor below everything that is durable before it is answered.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::folder::Folder;
use crate::measure::percentile;

/// How often it is tried.
const TRIES: usize = 101;
/// A page of the log.
const PAGE: [u8; 4096] = [7; 4096];

/// The median of appending a page and syncing it, where the stores are made.
pub(crate) fn sync(place: Option<&Path>) -> Result<Duration, Failure> {
    let folder = Folder::make(place)?;
    let mut file = File::create(folder.file())?;
    let mut took = Vec::with_capacity(TRIES);
    for _ in 0..TRIES {
        let begun = Instant::now();
        file.write_all(&PAGE)?;
        file.sync_data()?;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    Ok(percentile(&took, 500))
}
