//! Finding the engine that a command asks: by its URL, or by the socket of the config file.

use std::path::PathBuf;

use tidings_api::client::{Address, Client};
use tidings_engine::config::local_socket;
use tidings_engine::keys::is_damaged_key;

use crate::Failure;

/// Who sits at the terminal, for the record of changes: behind `sudo`, whoever typed it.
fn user() -> Option<String> {
    let name = |variable| std::env::var(variable).ok();
    ["SUDO_USER", "USER", "LOGNAME"]
        .into_iter()
        .filter_map(name)
        .find(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()))
}

/// How a certificate begins in PEM (RFC 7468): a bundle without one would trust nobody, in silence.
const PEM_BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// Where the engine is.
#[derive(Debug)]
pub(crate) struct Reach {
    pub(crate) config: PathBuf,
    pub(crate) url: Option<String>,
    /// Whom to trust beside the system's roots.
    pub(crate) ca: Option<PathBuf>,
}

impl Reach {
    /// A client of that engine.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        match &self.url {
            Some(url) if !url.starts_with("http://") && !url.starts_with("https://") => {
                Err(Failure::Usage(format!("`--url {url}`: write it as in `--url http://127.0.0.1:7380`")))
            }
            Some(url) => {
                let key = std::env::var("TIDINGS_API_KEY").ok().filter(|key| !key.is_empty());
                if key.as_deref().is_some_and(is_damaged_key) {
                    let text =
                        "the key in TIDINGS_API_KEY was cut short or mistyped: its last characters do not fit the rest";
                    return Err(Failure::Usage(text.to_owned()));
                }
                let Some(ca) = &self.ca else { return Ok(Client::new(Address::Url(url.clone()), key)?) };
                let unread = |problem: &dyn std::fmt::Display| {
                    Failure::Usage(format!("`--ca {}`: {problem}; it takes certificates in PEM", ca.display()))
                };
                let pem = std::fs::read(ca).map_err(|error| unread(&error))?;
                if !pem.windows(PEM_BEGIN.len()).any(|part| part == PEM_BEGIN) {
                    return Err(unread(&"it holds no certificate"));
                }
                Client::trusting(url, key, &pem).map_err(|error| unread(&error))
            }
            None => {
                let socket = local_socket(&self.config).map_err(|error| {
                    Failure::Usage(format!(
                        "{error}\nhint: name the config file with `-c FILE`, or an engine with `--url URL`"
                    ))
                })?;
                Ok(Client::new(Address::Socket(socket), None)?.by(user()))
            }
        }
    }
}
