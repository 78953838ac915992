//! `[api.limits]`: what our API bears from its callers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tidings_model::rate::Rate;

use super::channels::rate;
use super::read::Section;

/// What the API bears from its callers. Each listener (the local socket, the TCP port) counts for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiLimits {
    /// Connections at once. The default has room for a thousand readers of events and as many callers; each costs some
    /// 20 KiB while it is served.
    pub connections: usize,
    /// Connections of one address of the TCP port at once; as many as there are places if not given.
    pub per_address: Option<usize>,
    /// How long a connection may stay without a call.
    pub idle: Duration,
    /// How long the head of a request may take, from its first byte (of the first request: from the connection's
    /// begin, with the TLS handshake).
    pub head: Duration,
    /// How long we wait for each 16 KiB of a body, or its end.
    pub body: Duration,
    /// How long we wait for a caller to take each 16 KiB of our answer, or its end.
    pub answer: Duration,
    /// Calls of each key; none over the local socket are counted.
    pub rate: Option<Rate>,
    /// MiB of bodies that are in memory at once.
    pub bodies_mib: u32,
}

impl Default for ApiLimits {
    fn default() -> ApiLimits {
        ApiLimits {
            connections: 2048,
            per_address: None,
            idle: Duration::from_secs(75),
            head: Duration::from_secs(10),
            body: Duration::from_secs(20),
            answer: Duration::from_secs(30),
            rate: None,
            bodies_mib: 64,
        }
    }
}

/// The longest wait that makes sense for a caller.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// Reads the section; what it does not say has its default.
pub(super) fn read(api: &Section<'_>) -> ApiLimits {
    let defaults = ApiLimits::default();
    let Some(section) = api.section("limits") else { return defaults };
    let wait = |key, default| {
        let read = section.parsed(key, |value| {
            let wait = super::read::duration(&super::read::text(value)?)?;
            if wait.is_zero() || wait > WAIT_MAX { Err("expected 1ms to 1h".to_owned()) } else { Ok(wait) }
        });
        read.unwrap_or(default)
    };
    let limits = ApiLimits {
        connections: section.number("connections", 1..=65_536).map_or(defaults.connections, |number| number as usize),
        per_address: section.number("per_address", 1..=65_536).map(|number| number as usize),
        idle: wait("idle", defaults.idle),
        head: wait("head", defaults.head),
        body: wait("body", defaults.body),
        answer: wait("answer", defaults.answer),
        rate: section.parsed("rate", |value| rate(&super::read::text(value)?)),
        bodies_mib: section.number("bodies_mib", 8..=65_536).unwrap_or(defaults.bodies_mib),
    };
    section.finish();
    limits
}

/// Where the TLS of the TCP port stands: read at a start, and again when the files change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain in PEM, the server's own first.
    pub cert: PathBuf,
    /// Its key in PEM.
    pub key: PathBuf,
}

/// Reads `tls = { cert = "…", key = { file = "…" } }`.
pub(super) fn tls(api: &Section<'_>, folder: &Path) -> Option<TlsFiles> {
    let section = api.section("tls")?;
    let cert = section.text("cert").map(|path| folder.join(path));
    if cert.is_none() && section.find("cert").is_none() {
        section.missing("cert", "`cert = \"FILE\"`: the certificate chain in PEM");
    }
    let key = section.find("key").and_then(|found| {
        if found.value.is_str() {
            // The name of a file is no secret, but its neighbours' form is kept.
            section.report(&found.span, &found.path, "write it as in `key = { file = \"FILE\" }`");
            return None;
        }
        let table = section.as_section(&found)?;
        let file = table.text("file").map(|path| folder.join(path));
        if file.is_none() && table.find("file").is_none() {
            table.missing("file", "`file = \"FILE\"`: the key in PEM");
        }
        table.finish();
        file
    });
    if section.find("key").is_none() {
        section.missing("key", "`key = { file = \"FILE\" }`: the certificate's key in PEM");
    }
    section.finish();
    Some(TlsFiles { cert: cert?, key: key? })
}
