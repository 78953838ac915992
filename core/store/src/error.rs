//! What a caller of the store can act on.

use tidings_model::Timestamp;

/// What SQLite answers when the disk is full: SQLITE_FULL, SQLITE_IOERR_SHMSIZE for the memory it shares through a file,
/// and SQLITE_IOERR_WRITE when it is the user's share that is used up (sqlite.org/rescode.html). And PostgreSQL: disk_full.
const FULL: [&str; 4] = ["13", "4874", "778", "53100"];

/// What PostgreSQL answers when it is not there for us: the classes of lost connections, of resources that are used up (but
/// for [`FULL`]) and of what its keeper does, a server that only reads since another took over, and one that ended a
/// transaction which waited for us too long (postgresql.org/docs/current/errcodes-appendix.html).
const AWAY: [&str; 5] = ["08", "53", "57P", "25006", "25P03"];

/// Tries of what met other engines, or the fence.
pub(crate) const TRIES_MAX: u32 = 8;

/// SQLite's codes are shorter than a SQLSTATE, and may begin the same.
fn is_away(code: &str) -> bool {
    code.len() == 5 && !FULL.contains(&code) && AWAY.iter().any(|class| code.starts_with(class))
}

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another engine has the file.
    #[error("open store `{path}`: {holder} has it; stop that engine first, or give this one another store")]
    Locked {
        /// The file.
        path: String,
        /// Who has it, as far as it says.
        holder: String,
    },
    /// The store in the file went into a database.
    #[error(
        "open store `{path}`: it was moved to {to} at {at}; put that database's address into [store] url. To go back to the \
         file instead: stop every engine on the database, then run `tidings migrate --from sqlite://{path} --forget-move`; \
         what was done since is not in the file, and what waited then is sent again"
    )]
    Moved {
        /// The file.
        path: String,
        /// The server and the database.
        to: String,
        /// When.
        at: Timestamp,
    },
    /// The file was written by a newer Tidings.
    #[error("open store `{path}`: its schema is {found}, this program knows {known}; use the newer program")]
    Newer {
        /// The file.
        path: String,
        /// The schema in the file.
        found: i64,
        /// The newest schema of this program.
        known: i64,
    },
    /// A setting that safety depends on could not be made.
    #[error("open store `{path}`: `{setting}` is `{found}`, and must be `{expected}`")]
    Unsafe {
        /// The file.
        path: String,
        /// Which.
        setting: &'static str,
        /// What it is.
        found: String,
        /// What it must be.
        expected: &'static str,
    },
    /// The server of the store does not answer, or does not let us in.
    #[error(
        "connect to the store at `{server}`: is the server up, is there such a database, and may this user use it?"
    )]
    Unreachable {
        /// The server and the database.
        server: String,
        /// Why not.
        source: sqlx::Error,
    },
    /// The server was reached straight when the store was opened, and is behind a pooler now.
    #[error(
        "connect to the store at `{server}`: there is a pooler now, and none was when this engine started; restart it"
    )]
    Pooler {
        /// The server and the database.
        server: String,
    },
    /// No TLS comes about with the server of the store.
    #[error(
        "connect to the store at `{server}`: no TLS comes about that the address allows; with `sslmode=verify-full` it names \
         the server as its certificate does, and with `sslrootcert` the file of the authority that signed that"
    )]
    Untrusted {
        /// The server and the database.
        server: String,
        /// Why not.
        source: sqlx::Error,
    },
    /// What was told the server over a connection that was lost is still being done there.
    #[error(
        "go on with the store at `{server}`: its server is still at work on what it was told over a connection that was lost; \
         it is asked again, and nothing is written before that has ended"
    )]
    Underway {
        /// The server and the database.
        server: String,
    },
    /// The address of the store is none this program knows.
    #[error("open store `{url}`: expected `sqlite://FILE` or `postgres://USER@HOST/DATABASE`")]
    Address {
        /// What was given.
        url: String,
    },
    /// SQLite cannot open the file, or it is none of SQLite's.
    #[error("open store `{path}`: is it a store, and may this user write it and its folder?")]
    Unusable {
        /// The file.
        path: String,
        /// Why not.
        source: sqlx::Error,
    },
    /// A backup goes into a new file, and there is one.
    #[error("back up to `{path}`: there is a file of that name, and none is written over; give another name")]
    Exists {
        /// The file.
        path: String,
    },
    /// What is in a database is not copied by us.
    #[error("back up the store: it is in PostgreSQL; use `pg_dump` or what your server's keeper uses")]
    NotInAFile,
    /// What another backup is writing, or left when it was broken off.
    #[error("back up to `{path}`: another backup is writing it, or was broken off; if none is, remove it")]
    Unfinished {
        /// The file.
        path: String,
    },
    /// A store is moved into an empty database.
    #[error("move the store to `{server}`: there is something in it already; give it an empty database")]
    NotEmpty {
        /// The server and the database.
        server: String,
    },
    /// A move into the database did not end.
    #[error("open store `{server}`: a move into it was broken off; run the same `tidings migrate` again, to its end")]
    Incomplete {
        /// The server and the database.
        server: String,
    },
    /// What was moved reads back as something else.
    #[error(
        "check what was moved of `{table}`: {found} rows read back and {expected} were copied, or they differ; is a text \
         with the character U+0000 among them, or does somebody write to the database?"
    )]
    Differs {
        /// The table.
        table: &'static str,
        /// Rows in the database.
        found: u64,
        /// Rows in the file.
        expected: u64,
    },
    /// A cursor that no list of ours gave out.
    #[error("`{0}` is no cursor of this list; begin without one")]
    Cursor(String),
    /// What is in the file cannot be read as what it should be.
    #[error("read store: {0}")]
    Corrupt(String),
    /// The file system said no.
    #[error("{action} `{path}`")]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The disk has no room, or the user's share of it.
    #[error("the disk has no room for `{path}`; free some, and work goes on by itself")]
    Full {
        /// The file that was to grow.
        path: String,
    },
    /// An outcome of the batch met the fence. The writer sees to it; nobody else ever gets it.
    #[error("an outcome came too late")]
    Late,
    /// Another engine was quicker: the same batch is tried again. The writer sees to it; nobody else ever gets it.
    #[error("another engine changed the same rows; try again")]
    Contended,
    /// The database said no.
    #[error("{action}")]
    Database {
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: sqlx::Error,
    },
}

impl StoreError {
    /// Names what was tried when the database said no.
    pub(crate) fn during(action: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
        move |source| StoreError::Database { action, source }
    }

    /// Whether another engine was in the way, and the same batch may be tried again: PostgreSQL's serialization failure,
    /// deadlock, and a row that somebody else wrote under the same key (postgresql.org/docs/current/errcodes-appendix.html).
    pub(crate) fn is_contention(&self) -> bool {
        match self {
            StoreError::Contended => true,
            StoreError::Database { source, .. } => {
                let code = source.as_database_error().and_then(|error| error.code());
                code.is_some_and(|code| ["40001", "40P01", "23505"].contains(&code.as_ref()))
            }
            _ => false,
        }
    }

    /// Whether what was asked did not get to the server as a whole, and so did nothing: a pipe breaks for whoever writes, and a
    /// statement's last word is what has it done.
    pub fn never_arrived(&self) -> bool {
        match self {
            StoreError::Database { source: sqlx::Error::Io(error), .. } => {
                error.kind() == std::io::ErrorKind::BrokenPipe
            }
            _ => false,
        }
    }

    /// Whether nobody is there who could do it, or who has the means at the moment: the same may be asked again later, and
    /// nothing is wrong with it.
    pub fn is_away(&self) -> bool {
        match self {
            StoreError::Unreachable { .. }
            | StoreError::Untrusted { .. }
            | StoreError::Pooler { .. }
            | StoreError::Underway { .. } => true,
            StoreError::Database { source, .. } => match source {
                sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
                sqlx::Error::Database(error) => error.code().is_some_and(|code| is_away(&code)),
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether there is no room on the disk: nothing of the batch was written, and it may be when there is room again.
    pub fn is_full(&self) -> bool {
        match self {
            StoreError::Full { .. } => true,
            StoreError::Database { source, .. } | StoreError::Unusable { source, .. } => {
                let code = source.as_database_error().and_then(|error| error.code());
                code.is_some_and(|code| FULL.contains(&code.as_ref()))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_still_being_done_is_told_in_one_line_without_gaps() {
        let told = StoreError::Underway { server: "postgres://db/tidings".to_owned() }.to_string();
        assert!(told.contains("it is asked again") && !told.contains("  ") && !told.contains('\n'), "{told}");
    }

    #[test]
    fn only_what_could_not_be_written_never_arrived() {
        use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        let of = |kind: std::io::ErrorKind| StoreError::during("accept messages")(sqlx::Error::Io(kind.into()));
        assert!(of(BrokenPipe).never_arrived());
        assert!(!of(ConnectionReset).never_arrived() && !of(UnexpectedEof).never_arrived(), "it may be on disk");
    }

    #[test]
    fn a_store_that_is_away_is_told_from_one_that_says_no() {
        for code in ["08006", "53300", "57P01", "57P03", "25006", "25P03"] {
            assert!(is_away(code), "{code}");
        }
        // A statement that is wrong, a key that is taken, one that took too long; and SQLite's constraint and busy.
        for code in ["42601", "23505", "57014", "25P02", "53100", "531", "5"] {
            assert!(!is_away(code), "{code}");
        }
        let during = |source| StoreError::during("read")(source);
        assert!(during(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into())).is_away());
        assert!(during(sqlx::Error::PoolTimedOut).is_away());
        assert!(!during(sqlx::Error::RowNotFound).is_away());
        assert!(StoreError::Unreachable { server: String::new(), source: sqlx::Error::PoolTimedOut }.is_away());
        assert!(!StoreError::Corrupt(String::new()).is_away());
    }
}
