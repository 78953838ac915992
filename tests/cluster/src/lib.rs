//! PostgreSQL for tests and measurements. [`fresh_database`] is an empty database that is gone when it is dropped, on a
//! server that `TIDINGS_TEST_POSTGRES` names or that all tests of this workspace share; [`Cluster::private`] is a server
//! of one's own, to be stopped and started under load, and [`Pooler`] and [`Proxy`] are what may stand before it. Only tests,
//! the bench and the torture runs use this.

mod cluster;
mod database;
mod pooler;
mod programs;
mod proxy;
mod shared;
mod url;

pub use cluster::{Cluster, DURABLE, Stop};
pub use database::{Database, fresh_database};
pub use pooler::Pooler;
pub use programs::ask;
pub use proxy::Proxy;
pub use shared::{NAMED_BY, server, start, stop};

use std::path::PathBuf;

/// Why there is no server, or no database on it.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A program of PostgreSQL is not installed.
    #[error(
        "find program `{program}`: neither on PATH nor in {searched}; install PostgreSQL 15 or newer (on Debian: `apt-get \
         install postgresql`), or name a server that runs: `TIDINGS_TEST_POSTGRES=postgres://user@host/postgres`"
    )]
    Missing {
        /// Its name.
        program: &'static str,
        /// Where it was looked for, apart from PATH.
        searched: String,
    },
    /// PgBouncer is not installed.
    #[error(
        "find program `pgbouncer`: it is in none of {searched}; install it (on Debian: `apt-get install pgbouncer`)"
    )]
    NoPooler {
        /// Where it was looked for.
        searched: String,
    },
    /// We are root, and PostgreSQL does not run as root.
    #[error(
        "run PostgreSQL: it refuses to run as root, and there is no user `postgres` to run it as; Debian's package \
         postgresql makes one"
    )]
    NobodyToRunAs,
    /// We are root, and whom the server runs as may not go where its folder would be.
    #[error(
        "make a cluster in `{}`: user `postgres`, as whom root runs it, may not go there; choose a folder that everybody may \
         pass through, up to the root", parent.display()
    )]
    NoWay {
        /// Where the folder would have been made.
        parent: PathBuf,
    },
    /// A cluster's folder lies where its socket has no address.
    #[error("make a cluster in `{}`: its socket's path would be {length} bytes, at most {most} can be; choose a shorter folder", folder.display())]
    TooLong {
        /// The folder.
        folder: PathBuf,
        /// How long the path would be, in bytes.
        length: usize,
        /// How long it may be, in bytes.
        most: usize,
    },
    /// The value that names a server is not its address.
    #[error("read `{NAMED_BY}`: expected postgres://user@host/database, found {found}")]
    NoUrl {
        /// What is wrong with it, without what it says: there may be a password in it.
        found: &'static str,
    },
    /// A program of PostgreSQL did not do what it was asked.
    #[error("{doing}: {said}")]
    Refused {
        /// What was tried.
        doing: String,
        /// What the program said, or how it ended.
        said: String,
    },
    /// A file or a folder could not be made, read or removed, or a program not be run.
    #[error("{doing} `{}`", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl ClusterError {
    /// The error of an act on a file.
    fn file(doing: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { doing, path, source }
    }

    /// The error and what it came from, on one line, for whoever ends with it.
    #[must_use]
    pub fn whole(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }
}
