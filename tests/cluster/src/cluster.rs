//! One server: made in a folder of its own, started, stopped, removed. It listens on a socket in that folder, and nowhere
//! else unless it is to speak TLS, and only its owner may enter the folder, so it asks nobody for a password.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::programs::{Owner, Programs, run, statement};
use crate::{ClusterError, url};

/// How long the path of a socket may be, in bytes, without the zero behind it (unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// The port that is in the name of the socket.
const PORT: u16 = 5432;
/// The socket's name where that is the port.
pub(crate) const SOCKET: &str = ".s.PGSQL.5432";
/// How long a start or a stop may take, in seconds. After a crash under load there is a log to replay.
const WAIT_SECONDS: &str = "60";

/// What every server of ours has in its `postgresql.conf`.
const COMMON: [(&str, &str); 6] = [
    ("listen_addresses", "''"),
    ("unix_socket_permissions", "0700"),
    ("max_connections", "300"),
    // Partitions by day are many tables, and a test may drop a whole schema of them at once.
    ("max_locks_per_transaction", "256"),
    ("timezone", "'UTC'"),
    ("log_timezone", "'UTC'"),
];

/// For data that nobody will miss: a power cut loses the server, a crash of the server alone loses nothing.
pub(crate) const FLEETING: [(&str, &str); 4] =
    [("fsync", "off"), ("synchronous_commit", "off"), ("full_page_writes", "off"), ("shared_buffers", "'64MB'")];

/// As PostgreSQL is by default, said aloud: a commit that was answered is on the disk.
pub const DURABLE: [(&str, &str); 4] =
    [("fsync", "on"), ("synchronous_commit", "on"), ("full_page_writes", "on"), ("shared_buffers", "'128MB'")];

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Connections are ended, what was committed is written down.
    Fast,
    /// As if it had been killed: the next start replays the log.
    Immediate,
}

/// A server of one's own. Dropped, or when the process that has it ends in whatever way, it is stopped and its folder
/// removed.
#[derive(Debug)]
pub struct Cluster {
    place: Place,
    /// Where it speaks TLS.
    tls: Option<Ipv4Addr>,
    /// Ends the server when our end of its standard input is closed, which the kernel does for us if need be.
    keeper: Child,
}

impl Cluster {
    /// Makes and starts a server in a new folder in `parent`, with these lines in its `postgresql.conf`: [`DURABLE`], and
    /// whatever else; a later line overrides an earlier one. It takes a second or two.
    ///
    /// # Errors
    ///
    /// If PostgreSQL is not installed, does not start, or may not enter `parent`.
    pub fn private(parent: &Path, settings: &[(&str, &str)]) -> Result<Self, ClusterError> {
        Self::kept(Place::make(parent, settings)?, None)
    }

    /// The same, which speaks TLS, with this certificate and its key (PEM), at an address of this machine that no other has:
    /// [`Proxy`](crate::Proxy) is the way there. Over TLS nobody is asked for a password either.
    ///
    /// # Errors
    ///
    /// As [`Cluster::private`].
    pub fn with_tls(parent: &Path, cert: &str, key: &str) -> Result<Self, ClusterError> {
        let address = loopback();
        let settings = [("listen_addresses", &*format!("'{address}'")), ("ssl", "on")];
        let place = Place::make_with(parent, |place| {
            place.fill(&settings)?;
            place.lay("server.crt", cert)?;
            place.lay("server.key", key)
        })?;
        Self::kept(place, Some(address))
    }

    /// Starts it, and sees to it that it does not outlive us.
    fn kept(place: Place, tls: Option<Ipv4Addr>) -> Result<Self, ClusterError> {
        let keeper = match place.keeper() {
            Ok(keeper) => keeper,
            Err(error) => {
                place.remove()?;
                return Err(error);
            }
        };
        let cluster = Self { place, tls, keeper };
        cluster.start()?;
        Ok(cluster)
    }

    /// Starts it and waits until it answers.
    ///
    /// # Errors
    ///
    /// If it runs already or does not come up; the error carries the end of its log.
    pub fn start(&self) -> Result<(), ClusterError> {
        self.place.start()
    }

    /// Stops it and waits until it is gone.
    ///
    /// # Errors
    ///
    /// If it does not run.
    pub fn stop(&self, how: Stop) -> Result<(), ClusterError> {
        self.place.stop(how)
    }

    /// Stops it and starts it again.
    ///
    /// # Errors
    ///
    /// If it does not run, or does not come up again.
    pub fn restart(&self, how: Stop) -> Result<(), ClusterError> {
        self.stop(how)?;
        self.start()
    }

    /// Makes and starts a standby of it, in a new folder in `parent`. The standby names itself `standby`: the commits of
    /// this one wait for it from then on, as they do for ever once it is gone.
    ///
    /// # Errors
    ///
    /// If this one does not run, or the copy does not start.
    pub fn standby(&self, parent: &Path) -> Result<Self, ClusterError> {
        let standby = Self::kept(self.place.copy(parent)?, None)?;
        let ours = self.url("postgres");
        statement("wait for the standby", &ours, "ALTER SYSTEM SET synchronous_standby_names = 'standby'")?;
        statement("wait for the standby", &ours, "SELECT pg_reload_conf()")?;
        Ok(standby)
    }

    /// Makes a standby a server that takes what is written, and waits until it does.
    ///
    /// # Errors
    ///
    /// If it is none, or does not come up.
    pub fn promote(&self) -> Result<(), ClusterError> {
        run("promote a standby", self.place.pg_ctl().args(["-w", "-t", WAIT_SECONDS, "promote"])).map(drop)
    }

    /// The address of a database on it; `postgres` is there from the beginning.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.place.url(database)
    }

    /// Makes an empty database and says its address. It lasts as long as the server.
    ///
    /// # Errors
    ///
    /// If the server does not run or has one of that name.
    pub fn create_database(&self, name: &str) -> Result<String, ClusterError> {
        let create = format!("CREATE DATABASE \"{name}\" TEMPLATE template0");
        statement("make a database", &self.url("postgres"), &create)?;
        Ok(self.url(name))
    }

    /// The folder with its data, its log and its socket.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.place.folder
    }
}

impl Cluster {
    pub(crate) fn owner(&self) -> Owner {
        self.place.owner
    }

    /// Where it speaks TLS, if it does.
    pub(crate) fn tls(&self) -> Option<SocketAddr> {
        self.tls.map(|address| (address, PORT).into())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // Nobody is left to be told, and the keeper does what it can.
        drop(self.keeper.wait());
    }
}

/// A server's folder, whether it runs or not, and how it is run.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    programs: Programs,
    owner: Owner,
}

impl Place {
    /// A new folder with a server's data in it. Nothing is left where that does not work out.
    pub(crate) fn make(parent: &Path, settings: &[(&str, &str)]) -> Result<Self, ClusterError> {
        Self::make_with(parent, |place| place.fill(settings))
    }

    /// A new folder with the data of this server, which follows it.
    fn copy(&self, parent: &Path) -> Result<Self, ClusterError> {
        Self::make_with(parent, |place| place.follow(self))
    }

    fn make_with(parent: &Path, fill: impl FnOnce(&Self) -> Result<(), ClusterError>) -> Result<Self, ClusterError> {
        let programs = Programs::find()?;
        let owner = Owner::find()?;
        let folder = parent.join(format!("tidings-postgres-{}", unique()));
        let length = folder.join(SOCKET).as_os_str().len();
        if length > SOCKET_PATH_BYTES_MAX {
            return Err(ClusterError::TooLong { folder, length, most: SOCKET_PATH_BYTES_MAX });
        }
        std::fs::DirBuilder::new().mode(0o700).create(&folder).map_err(ClusterError::file("make folder", &folder))?;
        let place = Self { folder, programs, owner };
        match fill(&place) {
            Ok(()) => Ok(place),
            Err(error) => {
                place.remove()?;
                Err(error)
            }
        }
    }

    /// The server that was made in this folder.
    pub(crate) fn of(folder: PathBuf) -> Result<Self, ClusterError> {
        Ok(Self { folder, programs: Programs::find()?, owner: Owner::find()? })
    }

    fn give_to_owner(&self) -> Result<(), ClusterError> {
        self.owner.own(&self.folder)?;
        if !self.owner.may_stand_in(&self.folder) {
            return Err(ClusterError::NoWay { parent: self.folder.parent().unwrap_or(&self.folder).to_owned() });
        }
        Ok(())
    }

    fn follow(&self, primary: &Self) -> Result<(), ClusterError> {
        self.give_to_owner()?;
        let place = format!("host='{}' port={PORT} user=postgres application_name=standby", primary.folder.display());
        let mut copy = self.command(&self.programs.pg_basebackup);
        copy.args(["-R", "-X", "stream", "-c", "fast", "--no-sync", "-d"]).arg(place).arg("-D").arg(self.data());
        run("copy a cluster with pg_basebackup", &mut copy)?;
        self.set(&[])
    }

    fn fill(&self, settings: &[(&str, &str)]) -> Result<(), ClusterError> {
        self.give_to_owner()?;
        let data = self.data();
        // Words are ordered as a language has it, as on most servers that people run: whoever relies on the order of bytes
        // must say so.
        run(
            "make a cluster with initdb",
            self.command(&self.programs.initdb)
                .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"])
                .args(["--locale-provider=icu", "--icu-locale=en-US", "--no-sync", "--no-instructions", "-D"])
                .arg(&data),
        )?;
        self.set(&[&COMMON, settings].concat())
    }

    /// Adds to its settings: where its socket is, and these. A later line overrides an earlier one.
    fn set(&self, settings: &[(&str, &str)]) -> Result<(), ClusterError> {
        let path = self.data().join("postgresql.conf");
        let mut lines = format!("\nunix_socket_directories = '{}'\n", self.folder.display());
        for (name, value) in settings {
            lines.push_str(&format!("{name} = {value}\n"));
        }
        let mut file =
            OpenOptions::new().append(true).open(&path).map_err(ClusterError::file("open settings", &path))?;
        file.write_all(lines.as_bytes()).map_err(ClusterError::file("write settings", &path))
    }

    /// A file beside its data that only its owner may read.
    fn lay(&self, name: &str, text: &str) -> Result<(), ClusterError> {
        let path = self.data().join(name);
        let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(ClusterError::file("write file", &path))?;
        self.owner.own(&path)
    }

    pub(crate) fn start(&self) -> Result<(), ClusterError> {
        let log = self.folder.join("log");
        let started = run(
            "start PostgreSQL",
            self.pg_ctl().args(["-w", "-t", WAIT_SECONDS, "-l"]).arg(&log).arg("start").stdout(Stdio::null()),
        );
        started.map(drop).map_err(|error| match error {
            ClusterError::Refused { doing, said } => {
                ClusterError::Refused { doing, said: format!("{said}\nits log ends with:\n{}", tail(&log)) }
            }
            other => other,
        })
    }

    pub(crate) fn stop(&self, how: Stop) -> Result<(), ClusterError> {
        let mode = match how {
            Stop::Fast => "fast",
            Stop::Immediate => "immediate",
        };
        run("stop PostgreSQL", self.pg_ctl().args(["-w", "-t", WAIT_SECONDS, "-m", mode, "stop"])).map(drop)
    }

    /// Whether it takes a connection and answers.
    pub(crate) fn answers(&self) -> bool {
        self.folder.join(SOCKET).exists() && statement("ask PostgreSQL", &self.url("postgres"), "SELECT 1").is_ok()
    }

    pub(crate) fn remove(&self) -> Result<(), ClusterError> {
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(ClusterError::File { doing: "remove folder", path: self.folder.clone(), source: error })
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn url(&self, database: &str) -> String {
        url::behind_socket(&self.folder, PORT, database)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn command(&self, program: &Path) -> Command {
        self.owner.command(program, &self.folder)
    }

    fn pg_ctl(&self) -> Command {
        let mut command = self.command(&self.programs.pg_ctl);
        command.arg("-D").arg(self.data());
        command
    }

    /// A shell that waits for the end of its input, then stops the server and removes the folder. It is in a group of its
    /// own, so that Ctrl-C at a terminal, which ends us, does not end it before its time.
    fn keeper(&self) -> Result<Child, ClusterError> {
        let shell = Path::new("/bin/sh");
        // The folder's owner may empty it, but only its parent's owner can remove it: the last step is left to us there.
        let script = r#"while read -r _; do :; done; "$0" -D "$1/data" -w -m immediate stop; cd /; rm -rf "$1""#;
        let mut command = Command::new(shell);
        let script = match self.owner {
            Owner::Us => script.to_owned(),
            Owner::Other { .. } => script.replacen("\"$0\"", "runuser -u postgres -- \"$0\"", 1),
        };
        command.arg("-c").arg(script).arg(&self.programs.pg_ctl).arg(&self.folder);
        command.current_dir(&self.folder).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        command.process_group(0).spawn().map_err(ClusterError::file("run program", shell))
    }
}

/// The end of a file, for an error.
fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}

/// An address of this machine that no other process and no other call has, as a rule.
fn loopback() -> Ipv4Addr {
    static COUNT: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high, low, COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
}

/// A name that no other process and no other call has.
pub(crate) fn unique() -> String {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    format!("{:x}-{:x}-{count:x}", std::process::id(), now & 0xffff_ffff_ffff)
}
