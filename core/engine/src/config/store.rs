//! `[store]`: where everything is kept that happens, and for how long.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tidings_model::limits::{KEEP_AUDIT_DEFAULT, KEEP_DONE_DEFAULT, KEEP_FAILED_DEFAULT};
use tidings_model::spelling::nearest;
use toml::de::DeValue;

use super::read::Section;
use super::{Reading, Secret, SecretUse};
use crate::retention::Keep;

/// The file of the store, if config names none.
const FILE: &str = "tidings.db";
/// What the address of a file begins with.
const FILE_SCHEME: &str = "sqlite://";
/// What the address of a server may begin with.
const SERVER_SCHEMES: [&str; 2] = ["postgres", "postgresql"];
/// How addresses are written.
const EXPECTED: &str = "`sqlite://FILE` or `postgres://USER@HOST/DATABASE`";
/// What may stand behind the `?` of a server's address. A password may not: it has its place before the `@`.
const PARAMETERS: [&str; 11] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

/// Those that name files.
const FILES: [&str; 3] = ["sslcert", "sslkey", "sslrootcert"];

/// How long a lease may be: shorter, and a pause of the database loses it; longer, and what a dead node left waits.
const NODE_LEASE: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(300);

/// How this engine is known to others that share its store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// Its name: the machine's, if config gives none.
    pub name: String,
    /// How long what it claimed is its own without a word from it: from 2 s to 5 min.
    pub lease: Duration,
}

impl Default for NodeConfig {
    fn default() -> NodeConfig {
        let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
        NodeConfig { name: machine, lease: tidings_store::LEASE }
    }
}

/// Where the store is. Shown, it has no password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreAddress {
    /// In a file of its own.
    File(PathBuf),
    /// In a database of PostgreSQL, which engines share.
    Server(ServerAddress),
}

/// The address of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// A password may be part of it.
    url: Secret,
    shown: String,
}

impl StoreAddress {
    /// What the store is opened by. A password may be part of it: it is not shown.
    pub fn url(&self) -> String {
        match self {
            StoreAddress::File(path) => format!("{FILE_SCHEME}{}", path.display()),
            StoreAddress::Server(server) => server.url.reveal().to_owned(),
        }
    }

    /// The file, if it is in one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            StoreAddress::File(path) => Some(path),
            StoreAddress::Server(_) => None,
        }
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreAddress::File(_) => f.write_str(&self.url()),
            StoreAddress::Server(server) => f.write_str(&server.shown),
        }
    }
}

/// What lies beside the store: `tidings.db.sock` for the store `tidings.db`; where it is on a server, `tidings.sock` in the
/// folder of the config.
pub fn beside_store(file: Option<&Path>, folder: &Path, end: &str) -> PathBuf {
    match file {
        Some(file) => PathBuf::from(format!("{}.{end}", file.display())),
        None => folder.join(format!("tidings.{end}")),
    }
}

/// The file that the store's address in a config names; `None` if it is on a server. Only the address of a server may be a
/// secret, so that nobody needs one to know where the files are.
pub(super) fn local_file(url: Option<&DeValue<'_>>, folder: &Path) -> Option<PathBuf> {
    let Some(url) = url else { return Some(folder.join(FILE)) };
    url.as_str()?.strip_prefix(FILE_SCHEME).map(|path| folder.join(path))
}

impl Reading<'_> {
    pub(super) fn store(&self, root: &Section<'_>) -> (StoreAddress, NodeConfig, Keep) {
        let mut node = NodeConfig::default();
        let mut keep = Keep { done: KEEP_DONE_DEFAULT, failed: KEEP_FAILED_DEFAULT, audit: KEEP_AUDIT_DEFAULT };
        let default = StoreAddress::File(self.folder.join(FILE));
        let Some(section) = root.section("store") else { return (default, node, keep) };
        let address = self.store_address(&section);
        if let Some(name) = section.text("node") {
            node.name = name;
        }
        node.lease = section.duration_within("lease", NODE_LEASE).unwrap_or(node.lease);
        keep.done = section.duration("keep_done").unwrap_or(keep.done);
        keep.failed = section.duration("keep_failed").unwrap_or(keep.failed);
        keep.audit = section.duration("keep_audit").unwrap_or(keep.audit);
        section.finish();
        (address.unwrap_or(default), node, keep)
    }

    /// The address, or where it stands: a password may be part of it.
    fn store_address(&self, section: &Section<'_>) -> Option<StoreAddress> {
        let found = section.find("url")?;
        let read = match found.value.as_str() {
            Some(text) => match text.strip_prefix(FILE_SCHEME) {
                Some(path) if !path.is_empty() => Ok(StoreAddress::File(self.folder.join(path))),
                _ => server(text).and_then(|(url, shown)| {
                    if url.password().is_some() {
                        return Err(
                            "a password does not stand in the file; give the whole address as `{ env = \"NAME\" }` \
                                    or `{ file = \"PATH\" }`, or leave the password to `~/.pgpass`"
                                .to_owned(),
                        );
                    }
                    Ok(StoreAddress::Server(ServerAddress {
                        url: Secret::new(anchored(text, url, self.folder)),
                        shown,
                    }))
                }),
            },
            None => {
                let secret = self.secret(section, &found, SecretUse::Theirs)?;
                match server(secret.reveal()) {
                    Ok((url, shown)) => {
                        let url = Secret::new(anchored(secret.reveal(), url, self.folder));
                        Ok(StoreAddress::Server(ServerAddress { url, shown }))
                    }
                    Err(_) if secret.reveal().starts_with(FILE_SCHEME) => {
                        Err("a file's address is no secret; write it here, as in `\"sqlite://tidings.db\"`".to_owned())
                    }
                    Err(message) => Err(message),
                }
            }
        };
        match read {
            Ok(address) => Some(address),
            Err(message) => {
                section.report(&found.span, &found.path, message);
                None
            }
        }
    }
}

/// Reads the address of a database, and how it is shown. No mistake repeats what was written: it may be a password.
fn server(text: &str) -> Result<(reqwest::Url, String), String> {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    let Some(scheme) = scheme.filter(|scheme| SERVER_SCHEMES.contains(scheme)) else {
        return Err(format!("this is no store's address; expected {EXPECTED}"));
    };
    let url = reqwest::Url::parse(text).map_err(|error| {
        format!("this is no address of a database ({error}); expected {EXPECTED}; what of a password is no letter or digit is \
                 written as in `%40`")
    })?;
    let (mut host, mut port, mut database) =
        (url.host_str().unwrap_or("").to_owned(), url.port().map(|it| it.to_string()), None);
    for (key, value) in url.query_pairs() {
        match &*key {
            "password" => return Err("a password stands before the `@` of an address, not behind its `?`".to_owned()),
            "host" | "hostaddr" => host = value.into_owned(),
            "port" => port = Some(value.into_owned()),
            "dbname" => database = Some(value.into_owned()),
            key if PARAMETERS.contains(&key) => {}
            // Not repeated either: a `?` in a password that is not written as `%3F` begins it.
            key => {
                return Err(match nearest(key, &PARAMETERS) {
                    Some(right) => format!("no such parameter of an address; did you mean `{right}`?"),
                    None => format!("no such parameter of an address; there are: {}", PARAMETERS.join(", ")),
                });
            }
        }
    }
    let database = database.unwrap_or_else(|| url.path().trim_start_matches('/').to_owned());
    if database.is_empty() {
        return Err(format!("the address names no database; expected {EXPECTED}"));
    }
    let port = port.map_or(String::new(), |port| format!(":{port}"));
    let shown = format!("{scheme}://{host}{port}/{database}");
    Ok((url, shown))
}

/// The address with the files that it names looked for from the folder of the config, as every file is that a config names.
fn anchored(text: &str, mut url: reqwest::Url, folder: &Path) -> String {
    let is_relative = |(key, value): &(String, String)| FILES.contains(&key.as_str()) && Path::new(value).is_relative();
    let mut pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    if !pairs.iter().any(is_relative) {
        return text.to_owned();
    }
    for pair in pairs.iter_mut().filter(|pair| is_relative(pair)) {
        pair.1 = folder.join(&pair.1).to_string_lossy().into_owned();
    }
    url.query_pairs_mut().clear().extend_pairs(pairs);
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_that_an_address_names_are_looked_for_from_the_folder_of_the_config() {
        let anchored = |text| anchored(text, server(text).unwrap().0, Path::new("/etc/tid ings"));
        for (text, expected) in [
            (
                "postgres://ann:s%40x@db/t?sslrootcert=ca.pem&sslmode=verify-full",
                "postgres://ann:s%40x@db/t?sslrootcert=%2Fetc%2Ftid+ings%2Fca.pem&sslmode=verify-full",
            ),
            (
                "postgres://db/t?sslcert=/c.pem&sslkey=../k.pem",
                "postgres://db/t?sslcert=%2Fc.pem&sslkey=%2Fetc%2Ftid+ings%2F..%2Fk.pem",
            ),
            // Nothing else of it is written anew.
            ("postgres://db/t?host=/run/x&sslrootcert=/ca.pem", "postgres://db/t?host=/run/x&sslrootcert=/ca.pem"),
            ("postgres://db/t", "postgres://db/t"),
        ] {
            assert_eq!(anchored(text), expected);
        }
    }

    #[test]
    fn an_address_is_shown_with_its_host_and_database_and_nothing_of_who_comes() {
        for (text, shown) in [
            ("postgres://ann:CANARY@db.example:5433/tidings?sslmode=require", "postgres://db.example:5433/tidings"),
            ("postgresql://ann:CA%40NARY@db/tidings", "postgresql://db/tidings"),
            ("postgres:///tidings?host=/run/x&port=5433", "postgres:///run/x:5433/tidings"),
            ("postgres://db?dbname=other", "postgres://db/other"),
        ] {
            assert_eq!(server(text).unwrap().1, shown, "{text}");
        }
    }

    #[test]
    fn a_mistake_in_an_address_repeats_nothing_of_it() {
        for (text, part) in [
            ("mysql://root:CANARY@db/x", "expected `sqlite://FILE` or `postgres://"),
            ("postgres//CANARY", "expected `sqlite://FILE`"),
            ("sqlite://", "expected `sqlite://FILE`"),
            ("postgres://ann:CANARY@db:port/x", "no address of a database"),
            ("postgres://ann:CAN/ARY@db/x", "no address of a database"),
            ("postgres://ann@db/x?password=CANARY", "before the `@`"),
            ("postgres://ann@db/x?sslmod=CANARY", "`sslmode`"),
            ("postgres://ann:1?CANARY@db/x", "no such parameter"),
            ("postgres://ann:CANARY@db", "names no database"),
        ] {
            let told = server(text).unwrap_err();
            assert!(told.contains(part) && !told.contains("CANARY") && !told.contains("ARY"), "{text}: {told}");
        }
    }
}
