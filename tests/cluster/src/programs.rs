//! Where PostgreSQL's programs are, who runs them, and one call of one of them.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::ClusterError;

/// Where Debian has a folder for each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The programs that are needed to have a server.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) initdb: PathBuf,
    pub(crate) pg_ctl: PathBuf,
    pub(crate) pg_basebackup: PathBuf,
}

impl Programs {
    /// On PATH, then in Debian's folders, the newest first.
    pub(crate) fn find() -> Result<Self, ClusterError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Ok(Self {
            initdb: find("initdb", on(&path), Path::new(DEBIAN))?,
            pg_ctl: find("pg_ctl", on(&path), Path::new(DEBIAN))?,
            pg_basebackup: find("pg_basebackup", std::iter::empty(), Path::new(DEBIAN))
                .or_else(|_| find("pg_basebackup", on(&path), Path::new(DEBIAN)))?,
        })
    }
}

/// The client. What Debian has on PATH is a script that looks for the real one, and takes longer than the real one.
pub(crate) fn find_psql() -> Result<PathBuf, ClusterError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    find("psql", std::iter::empty(), Path::new(DEBIAN)).or_else(|_| find("psql", on(&path), Path::new(DEBIAN)))
}

fn on(path: &OsStr) -> impl Iterator<Item = PathBuf> {
    std::env::split_paths(path)
}

fn find(program: &'static str, first: impl Iterator<Item = PathBuf>, debian: &Path) -> Result<PathBuf, ClusterError> {
    let entries = std::fs::read_dir(debian).into_iter().flatten().filter_map(Result::ok);
    let mut versions: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    versions.sort_by_key(|folder| {
        let version = folder.file_name().and_then(OsStr::to_str).and_then(|name| name.parse::<u32>().ok());
        std::cmp::Reverse(version)
    });
    let installed = versions.into_iter().map(|version| version.join("bin"));
    let mut places = first.chain(installed).map(|folder| folder.join(program));
    places
        .find(|place| place.is_file())
        .ok_or_else(|| ClusterError::Missing { program, searched: debian.join("*/bin").display().to_string() })
}

/// Whom the server runs as: whoever runs the tests, but `postgres` where that would be root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Us,
    Other { user: u32, group: u32 },
}

impl Owner {
    pub(crate) fn find() -> Result<Self, ClusterError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Us);
        }
        let number = |which| -> Option<u32> {
            let answer = Command::new("id").args([which, "postgres"]).stderr(Stdio::null()).output().ok()?;
            String::from_utf8(answer.stdout).ok()?.trim().parse().ok()
        };
        match (number("-u"), number("-g")) {
            (Some(user), Some(group)) => Ok(Self::Other { user, group }),
            _ => Err(ClusterError::NobodyToRunAs),
        }
    }

    /// Makes a program run as the owner. The folder is where it stands: ours may be one that the owner cannot enter.
    pub(crate) fn command(self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(folder).stdin(Stdio::null());
        if let Self::Other { user, group } = self {
            command.uid(user).gid(group);
        }
        command
    }

    /// Whether the owner may enter a folder, through all that are above it.
    pub(crate) fn may_stand_in(self, folder: &Path) -> bool {
        self == Self::Us || self.command(Path::new("true"), folder).status().is_ok_and(|ended| ended.success())
    }

    /// Gives the owner what we made.
    pub(crate) fn own(self, folder: &Path) -> Result<(), ClusterError> {
        match self {
            Self::Us => Ok(()),
            Self::Other { user, group } => std::os::unix::fs::chown(folder, Some(user), Some(group))
                .map_err(ClusterError::file("give to user postgres the folder", folder)),
        }
    }
}

/// Runs a program to its end.
pub(crate) fn run(doing: &str, command: &mut Command) -> Result<String, ClusterError> {
    let program = PathBuf::from(command.get_program());
    let ended = command.output().map_err(ClusterError::file("run program", &program))?;
    if ended.status.success() {
        return Ok(String::from_utf8_lossy(&ended.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
    let said = if said.is_empty() { format!("{} ended with {}", program.display(), ended.status) } else { said };
    Err(ClusterError::Refused { doing: doing.to_owned(), said })
}

/// One statement through psql, outside any transaction.
pub(crate) fn statement(doing: &str, url: &str, statement: &str) -> Result<String, ClusterError> {
    let psql = find_psql()?;
    let settings: [OsString; 8] = ["-X", "-q", "-w", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c"].map(OsString::from);
    run(doing, Command::new(psql).args(settings).arg(statement).arg(url).stdin(Stdio::null()))
}

/// What a server answers to one statement: a row a line, its columns apart by `|`.
///
/// # Errors
///
/// If PostgreSQL is not installed, or refuses.
pub fn ask(url: &str, question: &str) -> Result<String, ClusterError> {
    statement("ask PostgreSQL", url, question).map(|answer| answer.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_no_postgresql_the_error_says_what_to_install() {
        let nowhere = Path::new("/nowhere/postgresql");
        let missing = find("initdb", on(OsStr::new("/nowhere/bin")), nowhere).expect_err("it is not there");
        assert_eq!(
            missing.to_string(),
            "find program `initdb`: neither on PATH nor in /nowhere/postgresql/*/bin; install PostgreSQL 15 or newer (on \
             Debian: `apt-get install postgresql`), or name a server that runs: \
             `TIDINGS_TEST_POSTGRES=postgres://user@host/postgres`"
        );
    }

    #[test]
    fn path_comes_first_and_then_the_newest_version() {
        let folder = std::env::temp_dir().join(format!("tidings-programs-{}", std::process::id()));
        for version in ["9.6", "9", "15", "own"] {
            let bin = folder.join(version).join("bin");
            std::fs::create_dir_all(&bin).expect("a folder can be made");
            std::fs::write(bin.join("initdb"), "").expect("a file can be written");
        }
        let newest = find("initdb", std::iter::empty(), &folder).expect("it is there");
        let own = find("initdb", std::iter::once(folder.join("own/bin")), &folder).expect("it is there");
        std::fs::remove_dir_all(&folder).expect("a folder can be removed");
        assert_eq!(newest, folder.join("15/bin/initdb"));
        assert_eq!(own, folder.join("own/bin/initdb"));
    }
}
