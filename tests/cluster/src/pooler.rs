//! PgBouncer before a server: few sessions, lent for one transaction at a time to whoever comes.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::programs::{Owner, ask};
use crate::{Cluster, ClusterError, url};

/// The port that is in the name of its socket.
const PORT: u16 = 6432;
/// Where Debian has it, which need not be on PATH.
const DEBIAN: &str = "/usr/sbin";
/// How long it may take to answer.
const WAIT: Duration = Duration::from_secs(20);
/// Between two looks whether it does.
const LOOK: Duration = Duration::from_millis(20);

/// A pooler in transaction mode. Dropped, or when the process that has it ends in whatever way, it is gone.
#[derive(Debug)]
pub struct Pooler {
    folder: PathBuf,
    owner: Owner,
    /// Ends the pooler when our end of its standard input is closed.
    keeper: Child,
}

impl Pooler {
    /// Starts one before a server, with so many sessions a database, and these lines more in its settings.
    ///
    /// # Errors
    ///
    /// If PgBouncer is not installed, or does not start; the error carries its log.
    pub fn before(cluster: &Cluster, sessions: u32, settings: &[(&str, &str)]) -> Result<Self, ClusterError> {
        let folder = cluster.folder().to_owned();
        let mut lines = format!(
            "[databases]\n* = host={0} port=5432 user=postgres\n[pgbouncer]\nlisten_addr =\nlisten_port = {PORT}\n\
             unix_socket_dir = {0}\nauth_type = any\npool_mode = transaction\ndefault_pool_size = {sessions}\n\
             logfile = {0}/pooler.log\n",
            folder.display()
        );
        for (name, value) in settings {
            lines.push_str(&format!("{name} = {value}\n"));
        }
        let path = folder.join("pooler.ini");
        std::fs::write(&path, lines).map_err(ClusterError::file("write settings", &path))?;
        let owner = cluster.owner();
        let keeper = keep(&folder, owner)?;
        let pooler = Self { folder, owner, keeper };
        pooler.answers()?;
        Ok(pooler)
    }

    /// Ends it in the midst of everything, and starts it again.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub fn restart(&mut self) -> Result<(), ClusterError> {
        self.end();
        self.keeper = keep(&self.folder, self.owner)?;
        self.answers()
    }

    /// The address of a database behind it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        url::behind_socket(&self.folder, PORT, database)
    }

    fn answers(&self) -> Result<(), ClusterError> {
        let begun = Instant::now();
        loop {
            match ask(&self.url("postgres"), "SELECT 1") {
                Ok(_) => return Ok(()),
                Err(ClusterError::Refused { doing, said }) if begun.elapsed() > WAIT => {
                    let log = std::fs::read_to_string(self.folder.join("pooler.log")).unwrap_or_default();
                    return Err(ClusterError::Refused { doing, said: format!("{said}\nthe pooler's log:\n{log}") });
                }
                Err(ClusterError::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
            #[expect(clippy::disallowed_methods, reason = "between two looks at the condition, never instead of one")]
            std::thread::sleep(LOOK);
        }
    }

    fn end(&mut self) {
        drop(self.keeper.stdin.take());
        // Nobody is left to be told.
        drop(self.keeper.wait());
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.end();
    }
}

/// A shell that runs it until the end of the shell's input, and then kills it. It is in a group of its own, as that of a
/// server is.
fn keep(folder: &Path, owner: Owner) -> Result<Child, ClusterError> {
    let shell = Path::new("/bin/sh");
    let script = r#""$0" -q "$1/pooler.ini" & while read -r _; do :; done; kill -9 $!; wait"#;
    let mut command: Command = owner.command(shell, folder);
    command.arg("-c").arg(script).arg(find()?).arg(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    command.spawn().map_err(ClusterError::file("run program", shell))
}

fn find() -> Result<PathBuf, ClusterError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).chain([PathBuf::from(DEBIAN)]).map(|folder| folder.join("pgbouncer"));
    let missing = || ClusterError::NoPooler {
        searched: [&*path, OsStr::new(DEBIAN)].join(OsStr::new(":")).display().to_string(),
    };
    places.find(|place| place.is_file()).ok_or_else(missing)
}
