//! The local socket: whoever may open its file may do everything, so it is its owner's alone from the first moment.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};

/// How long an engine waits for others that begin in the same folder, and between two looks.
const TURN_WAIT: Duration = Duration::from_secs(1);
const TURN_LOOK: Duration = Duration::from_millis(5);

/// A socket with nobody who serves it yet. Whoever connects meanwhile waits.
#[derive(Debug)]
pub struct LocalSocket {
    listener: UnixListener,
    place: SocketPlace,
}

/// The file of a socket. It is removed with this value, unless another is in its place by then.
#[derive(Debug)]
pub(super) struct SocketPlace {
    path: PathBuf,
    /// Device and number of the file (stat(2)).
    file: (u64, u64),
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Engines that share a store on a server may stand in one folder, and none may take another's socket.
    #[error("another engine answers there{}", of_process(*process))]
    Taken {
        /// Which process made it, if the system says so.
        process: Option<i32>,
    },
    /// A slip in config must not cost a file.
    #[error("a file is there that is no socket")]
    NoSocket,
    /// The system's refusal.
    #[error(transparent)]
    Refused(#[from] io::Error),
}

fn of_process(process: Option<i32>) -> String {
    process.map(|process| format!(" (process {process})")).unwrap_or_default()
}

impl LocalSocket {
    /// Listens at that path, with rights for the owner alone. What a crash left there is replaced.
    ///
    /// A socket has the rights that the process's umask leaves, and between `bind` and `chmod` others could connect. So it
    /// is made in a folder that only its owner may enter, and moved to its place when its rights are right: nobody meets
    /// it before. (The umask belongs to the whole process, and other threads make files too.)
    ///
    /// # Errors
    ///
    /// Somebody answers there, or something else is there, or the system refuses it.
    pub async fn bind(path: &Path) -> Result<LocalSocket, SocketError> {
        let parent = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let _turn = turn(parent).await?;
        only_a_socket_is_replaced(path)?;
        nobody_answers(path).await?;
        let folder = private_folder(parent)?;
        let made = folder.join("s");
        let bound = UnixListener::bind(&made).and_then(|listener| {
            fs::set_permissions(&made, Permissions::from_mode(0o600))?;
            let file = identity(&made)?;
            fs::rename(&made, path)?;
            Ok(LocalSocket { listener, place: SocketPlace { path: path.to_owned(), file } })
        });
        if bound.is_err() {
            drop(fs::remove_file(&made));
        }
        fs::remove_dir(&folder)?;
        Ok(bound?)
    }

    /// The listener, and its file apart: that one goes when nobody is to come any more.
    pub(super) fn split(self) -> (UnixListener, SocketPlace) {
        (self.listener, self.place)
    }
}

impl Drop for SocketPlace {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.file) {
            drop(fs::remove_file(&self.path));
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

fn only_a_socket_is_replaced(path: &Path) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => Ok(()),
        Ok(_) => Err(SocketError::NoSocket),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn nobody_answers(path: &Path) -> Result<(), SocketError> {
    match UnixStream::connect(path).await {
        Ok(stream) => Err(SocketError::Taken { process: stream.peer_cred().ok().and_then(|of| of.pid()) }),
        // So many wait there that no more may (connect(2)): somebody is to serve them.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(SocketError::Taken { process: None }),
        Err(_) => Ok(()),
    }
}

/// Engines that begin at once in one folder look one after the other, or each would find nobody there. The turn is a lock
/// on the folder, and ends with the value. Somebody else may hold that for long (`flock FOLDER tidings run`): after a
/// while it goes on without.
async fn turn(folder: &Path) -> io::Result<File> {
    let turn = File::open(folder)?;
    let begun = tokio::time::Instant::now();
    while turn.try_lock().is_err() && begun.elapsed() < TURN_WAIT {
        tokio::time::sleep(TURN_LOOK).await;
    }
    Ok(turn)
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

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
            let socket = LocalSocket::bind(&path).await.unwrap();
            assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert!(UnixStream::connect(&path).await.is_ok());
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "only the socket stays");
            let (listener, place) = socket.split();
            drop(listener);
            // Nobody took the file away, as after a crash.
            std::mem::forget(place);
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[tokio::test]
    async fn a_socket_that_somebody_answers_at_is_left_to_them_and_who_it_is_is_said() {
        let folder = folder("taken");
        let path = folder.join("tidings.sock");
        let first = LocalSocket::bind(&path).await.unwrap();
        let refused = LocalSocket::bind(&path).await.unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        assert!(UnixStream::connect(&path).await.is_ok(), "the first one's is where it was");
        drop(first);
        LocalSocket::bind(&path).await.unwrap();
        fs::remove_dir_all(&folder).unwrap();
    }

    #[tokio::test]
    async fn a_socket_takes_its_own_file_away_and_nobody_elses() {
        let folder = folder("own");
        let path = folder.join("tidings.sock");
        let (listener, place) = LocalSocket::bind(&path).await.unwrap().split();
        drop(listener);
        let second = LocalSocket::bind(&path).await.unwrap();
        drop(place);
        assert!(UnixStream::connect(&path).await.is_ok(), "it is the second one's by now");
        drop(second);
        assert!(!path.exists());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[tokio::test]
    async fn of_two_that_begin_at_once_the_second_finds_the_first() {
        let folder = folder("turn");
        let path = folder.join("tidings.sock");
        let first = turn(&folder).await.unwrap();
        let second = tokio::spawn({
            let path = path.clone();
            async move { LocalSocket::bind(&path).await }
        });
        tokio::task::yield_now().await;
        // As another process would, between its look and its end.
        let _listener = UnixListener::bind(&path).unwrap();
        drop(first);
        assert!(matches!(second.await.unwrap(), Err(SocketError::Taken { .. })));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[tokio::test]
    async fn nobody_else_meets_the_socket_before_it_is_closed_to_them() {
        let folder = folder("watched");
        let path = folder.join("tidings.sock");
        let stop = Arc::new(AtomicBool::new(false));
        let watcher = std::thread::spawn({
            let (stop, path) = (Arc::clone(&stop), path.clone());
            move || {
                let mut open = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let mode = fs::symlink_metadata(&path).map(|found| found.permissions().mode() & 0o777);
                    open.extend(mode.ok().filter(|mode| *mode != 0o600));
                }
                open
            }
        });
        for _ in 0..500 {
            drop(LocalSocket::bind(&path).await.unwrap());
        }
        stop.store(true, Ordering::Relaxed);
        let open = watcher.join().unwrap();
        assert!(open.is_empty(), "seen with the rights {:o}", open[0]);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[tokio::test]
    async fn a_file_in_its_place_is_left_alone() {
        let folder = folder("file");
        let path = folder.join("notes.txt");
        fs::write(&path, "mine").unwrap();
        assert!(LocalSocket::bind(&path).await.unwrap_err().to_string().contains("is no socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        fs::remove_dir_all(&folder).unwrap();
    }
}
