//! The local socket: whoever may open its file may do everything, so it is its owner's alone from the first moment.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// Listens at that path, with rights for the owner alone. What a crash left there is replaced.
///
/// A socket has the rights that the process's umask leaves, and between `bind` and `chmod` others could connect. So it is
/// made in a folder that only its owner may enter, and moved to its place when its rights are right: nobody meets it
/// before. (The umask belongs to the whole process, and other threads make files too.)
pub(super) fn bind(path: &Path) -> io::Result<UnixListener> {
    only_a_socket_is_replaced(path)?;
    nobody_answers(path)?;
    let folder = private_folder(path.parent().unwrap_or(Path::new("")))?;
    let made = folder.join("s");
    let bound = UnixListener::bind(&made).and_then(|listener| {
        fs::set_permissions(&made, Permissions::from_mode(0o600))?;
        fs::rename(&made, path)?;
        Ok(listener)
    });
    if bound.is_err() {
        drop(fs::remove_file(&made));
    }
    fs::remove_dir(&folder)?;
    bound
}

/// A slip in config must not cost a file.
fn only_a_socket_is_replaced(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => Ok(()),
        Ok(_) => {
            Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("`{}` is there and is no socket", path.display())))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Engines that share a store on a server may stand in one folder, and none may take another's socket.
fn nobody_answers(path: &Path) -> io::Result<()> {
    match UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!("another engine answers at `{}`; give this one its own place with `[api] socket`", path.display()),
        )),
        Err(_) => Ok(()),
    }
}

/// A new folder for its owner alone. Its name is short: the path of a socket has 107 bytes (unix(7)).
fn private_folder(parent: &Path) -> io::Result<PathBuf> {
    let folder = parent.join(format!(".{}", std::process::id()));
    let make = || DirBuilder::new().mode(0o700).create(&folder);
    match make() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // A crash of a process with our number left it; one of somebody else cannot be removed, and is not used.
            drop(fs::remove_file(folder.join("s")));
            fs::remove_dir(&folder)?;
            make()?;
        }
        made => made?,
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("tidings-socket-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir(&folder).unwrap();
        folder
    }

    #[tokio::test]
    async fn a_socket_is_for_its_owner_and_what_a_crash_left_is_replaced() {
        let folder = folder("owner");
        let path = folder.join("tidings.sock");
        for _ in 0..2 {
            // Dropped without being removed, as by a crash.
            let _listener = bind(&path).unwrap();
            assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert!(tokio::net::UnixStream::connect(&path).await.is_ok());
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "only the socket stays");
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[tokio::test]
    async fn a_socket_that_somebody_answers_at_is_left_to_them() {
        let folder = folder("taken");
        let path = folder.join("tidings.sock");
        let first = bind(&path).unwrap();
        assert_eq!(bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        bind(&path).unwrap();
        fs::remove_dir_all(&folder).unwrap();
    }

    #[tokio::test]
    async fn nobody_else_meets_the_socket_before_it_is_closed_to_them() {
        let folder = folder("watched");
        let path = folder.join("tidings.sock");
        let stop = std::sync::atomic::AtomicBool::new(false);
        let open = std::thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let mut open = Vec::new();
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let mode = fs::symlink_metadata(&path).map(|found| found.permissions().mode() & 0o777);
                    open.extend(mode.ok().filter(|mode| *mode != 0o600));
                }
                open
            });
            for _ in 0..500 {
                drop(bind(&path).unwrap());
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            watcher.join().unwrap()
        });
        assert!(open.is_empty(), "seen with the rights {:o}", open[0]);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[tokio::test]
    async fn a_file_in_its_place_is_left_alone() {
        let folder = folder("file");
        let path = folder.join("notes.txt");
        fs::write(&path, "mine").unwrap();
        assert!(bind(&path).unwrap_err().to_string().contains("is no socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        fs::remove_dir_all(&folder).unwrap();
    }
}
