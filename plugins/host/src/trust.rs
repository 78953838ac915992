//! Who else could have written what we are about to run: the owners and the permissions of a file and of all folders
//! above it, and the bytes read once.

use std::fs::{File, Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use crate::limits::FILE_BYTES_MAX;

const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Reads a file that nobody but root and us can have written.
///
/// It is opened once; what is checked and what is read is that one open file, whatever happens to the name meanwhile.
pub(crate) fn read_trusted(path: &Path) -> Result<Vec<u8>, String> {
    // NONBLOCK: to open a pipe would wait for somebody to write into it.
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or(0);
    let mut file =
        OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => "is not there".to_owned(),
            _ => format!("cannot be read: {error}"),
        })?;
    let metadata = file.metadata().map_err(|error| format!("cannot be read: {error}"))?;
    if !metadata.is_file() {
        return Err("is not a regular file".to_owned());
    }
    let us = rustix::process::geteuid().as_raw();
    trusted_file(path, Rights::of(&metadata), us)?;
    trusted_folders(path, us)?;
    read_bounded(&mut file, metadata.len())
}

fn read_bounded(file: &mut File, bytes: u64) -> Result<Vec<u8>, String> {
    let too_large = || format!("has more than {} MiB; no plugin needs that", FILE_BYTES_MAX / (1024 * 1024));
    if bytes > FILE_BYTES_MAX {
        return Err(too_large());
    }
    let mut read = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
    let taken = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut read);
    taken.map_err(|error| format!("cannot be read: {error}"))?;
    if u64::try_from(read.len()).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err(too_large());
    }
    Ok(read)
}

/// Both the folders that the path names and those it leads to through links: a link is as good as the folder it is in.
fn trusted_folders(path: &Path, us: u32) -> Result<(), String> {
    let cannot = |error: std::io::Error| format!("cannot be found: {error}");
    let named = std::path::absolute(path).map_err(cannot)?;
    let real = path.canonicalize().map_err(cannot)?;
    let mut folders: Vec<&Path> = named.ancestors().skip(1).collect();
    folders.extend(real.ancestors().skip(1).filter(|folder| !named.starts_with(folder)));
    for folder in folders {
        let metadata = folder.metadata().map_err(|error| format!("has a folder that cannot be read: {error}"))?;
        trusted_folder(folder, Rights::of(&metadata), us)?;
    }
    Ok(())
}

/// What of a file decides who can change it.
#[derive(Debug, Clone, Copy)]
struct Rights {
    owner: u32,
    mode: u32,
}

impl Rights {
    fn of(metadata: &Metadata) -> Rights {
        Rights { owner: metadata.uid(), mode: metadata.mode() }
    }
}

fn trusted_file(path: &Path, rights: Rights, us: u32) -> Result<(), String> {
    let path = path.display();
    if rights.owner != 0 && rights.owner != us {
        return Err(format!(
            "belongs to user {}, who could change it; it must belong to root or to the user of the engine: \
             chown root '{path}'",
            rights.owner
        ));
    }
    if rights.mode & (GROUP_WRITES | OTHERS_WRITE) != 0 {
        return Err(format!("can be written by {}: chmod go-w '{path}'", writers(rights.mode)));
    }
    Ok(())
}

/// A folder in which others may write lets them put another file in the place of ours. The exception is a folder with
/// the sticky bit, as /tmp has it: there only the owner of an entry, of the folder, or root replaces that entry; the
/// entry on our way is the file or the next folder, whose owner is looked at as well, and so is the owner of this one.
/// That holds for the folder the file stands in, too.
fn trusted_folder(folder: &Path, rights: Rights, us: u32) -> Result<(), String> {
    let folder = folder.display();
    if rights.owner != 0 && rights.owner != us {
        return Err(format!(
            "stands under the folder `{folder}` of user {}, who could replace it; move it, or: chown root '{folder}'",
            rights.owner
        ));
    }
    if rights.mode & (GROUP_WRITES | OTHERS_WRITE) != 0 && rights.mode & STICKY == 0 {
        return Err(format!(
            "stands under the folder `{folder}`, in which {} may replace it; move it, or: chmod go-w '{folder}'",
            writers(rights.mode)
        ));
    }
    Ok(())
}

fn writers(mode: u32) -> &'static str {
    match (mode & GROUP_WRITES != 0, mode & OTHERS_WRITE != 0) {
        (true, false) => "its group",
        (false, _) => "everybody",
        (true, true) => "its group and everybody",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: u32 = 1000;
    const PATH: &str = "/opt/a.so";

    fn file(owner: u32, mode: u32) -> Result<(), String> {
        trusted_file(Path::new(PATH), Rights { owner, mode }, US)
    }

    fn folder(owner: u32, mode: u32) -> Result<(), String> {
        trusted_folder(Path::new("/opt"), Rights { owner, mode }, US)
    }

    #[test]
    fn a_file_of_root_or_of_us_that_nobody_else_writes_is_trusted() {
        assert_eq!(file(0, 0o100_755), Ok(()));
        assert_eq!(file(US, 0o100_600), Ok(()));
        assert_eq!(folder(0, 0o040_755), Ok(()));
        assert_eq!(folder(US, 0o040_700), Ok(()));
    }

    #[test]
    fn a_file_of_another_or_that_others_write_is_refused_with_what_to_run() {
        let problem = file(7, 0o100_755).unwrap_err();
        assert!(problem.contains("user 7") && problem.contains("chown root '/opt/a.so'"), "{problem}");
        let problem = file(0, 0o100_775).unwrap_err();
        assert!(problem.contains("its group: chmod go-w '/opt/a.so'"), "{problem}");
        let problem = file(0, 0o100_757).unwrap_err();
        assert!(problem.contains("everybody: chmod"), "{problem}");
    }

    #[test]
    fn a_folder_of_another_or_that_others_write_is_refused_with_what_to_run() {
        let problem = folder(7, 0o040_755).unwrap_err();
        assert!(problem.contains("`/opt` of user 7") && problem.contains("chown root '/opt'"), "{problem}");
        let problem = folder(0, 0o040_777).unwrap_err();
        assert!(problem.contains("its group and everybody") && problem.contains("chmod go-w '/opt'"), "{problem}");
    }

    #[test]
    fn a_sticky_folder_is_as_safe_as_its_owner() {
        assert_eq!(folder(0, 0o041_777), Ok(()));
        assert!(folder(7, 0o041_777).is_err());
    }
}
