//! The server that tests share. One that `TIDINGS_TEST_POSTGRES` names is used as it is; otherwise the first test of the
//! workspace to need one starts it, all others find it, and it runs until it is told to stop.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::cluster::{FLEETING, Place, Stop};
use crate::{ClusterError, url};

/// The environment variable with the address of a server that is to be used instead: of a database on it, as a user who may
/// create databases.
pub const NAMED_BY: &str = "TIDINGS_TEST_POSTGRES";

/// The address of the server's maintenance database; the server is started if need be. The same for the whole process.
///
/// # Errors
///
/// If PostgreSQL is not installed or does not start, or the variable's value is no address.
pub fn server() -> Result<String, ClusterError> {
    static FOUND: OnceLock<String> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Ok(found.clone());
    }
    let found = match std::env::var(NAMED_BY) {
        Ok(named) if !named.is_empty() => {
            url::with_database(&named, "checked")?;
            named
        }
        _ => start()?,
    };
    Ok(FOUND.get_or_init(|| found).clone())
}

/// Starts the shared server if it does not run, whatever is named, and says its address.
///
/// # Errors
///
/// If PostgreSQL is not installed or does not start.
pub fn start() -> Result<String, ClusterError> {
    let notes = Notes::open()?;
    if let Some(place) = notes.place()? {
        if place.answers() {
            return Ok(place.url("postgres"));
        }
        // It was killed, or the machine was: its data is not worth a look.
        drop(place.stop(Stop::Immediate));
        place.remove()?;
    }
    let place = Place::make(&std::env::temp_dir(), &FLEETING)?;
    // Noted before it runs: whoever is killed here leaves nothing that the next one does not find.
    notes.write(&place.folder)?;
    place.start()?;
    Ok(place.url("postgres"))
}

/// Stops the shared server and removes it; says whether there was one.
///
/// # Errors
///
/// If it does not stop.
pub fn stop() -> Result<bool, ClusterError> {
    let notes = Notes::open()?;
    let Some(place) = notes.place()? else { return Ok(false) };
    let answers = place.answers();
    let stopped = place.stop(Stop::Immediate);
    if answers {
        stopped?;
    }
    place.remove()?;
    notes.clear()?;
    Ok(answers)
}

/// Where the shared server is, in cargo's target folder. Held by one process at a time.
struct Notes {
    /// Holds the path of the server's folder.
    path: PathBuf,
    _lock: File,
}

impl Notes {
    /// Waits for whoever has them.
    fn open() -> Result<Self, ClusterError> {
        let folder = target().join("postgres");
        std::fs::create_dir_all(&folder).map_err(ClusterError::file("make folder", &folder))?;
        let path = folder.join("lock");
        let lock = File::create(&path).map_err(ClusterError::file("open file", &path))?;
        lock.lock().map_err(ClusterError::file("lock file", &path))?;
        Ok(Self { path: folder.join("folder"), _lock: lock })
    }

    fn place(&self) -> Result<Option<Place>, ClusterError> {
        match std::fs::read_to_string(&self.path) {
            Ok(folder) if Path::new(&folder).is_dir() => Ok(Some(Place::of(PathBuf::from(folder))?)),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ClusterError::file("read file", &self.path)(error)),
        }
    }

    fn write(&self, folder: &Path) -> Result<(), ClusterError> {
        std::fs::write(&self.path, folder.to_string_lossy().as_bytes())
            .map_err(ClusterError::file("write file", &self.path))
    }

    fn clear(&self) -> Result<(), ClusterError> {
        std::fs::remove_file(&self.path).map_err(ClusterError::file("remove file", &self.path))
    }
}

/// Cargo's target folder, as far as its environment says.
fn target() -> PathBuf {
    let said = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
    said.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"))
}
