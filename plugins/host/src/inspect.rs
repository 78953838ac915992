//! What can be known of a plugin file before any of it runs.

use std::fmt;
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};

use crate::note;
use crate::refusal::Refusal;
use crate::trust::read_trusted;

/// What config says of a plugin file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginFile {
    /// Where it is.
    pub path: PathBuf,
    /// The SHA-256 it must have, in hexadecimal; any if `None`.
    pub sha256: Option<String>,
}

/// A file that was read and found fit to be loaded.
#[derive(Clone)]
pub struct Inspected {
    /// The plugin's name, by its note.
    pub name: String,
    /// Its version, by its note.
    pub version: String,
    /// What it was built for: `x86_64-linux-gnu`.
    pub target: String,
    /// The minor of the contract it was built with.
    pub minor: u32,
    /// The minor of the contract it needs.
    pub minor_needed: u32,
    /// What it does: `http_transport`, …
    pub roles: Vec<&'static str>,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Where it was.
    pub path: PathBuf,
    /// What was checked is what is loaded, whatever happens to the file meanwhile.
    pub(crate) bytes: Vec<u8>,
}

impl fmt::Debug for Inspected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inspected { name, version, path, sha256, .. } = self;
        f.debug_struct("Inspected")
            .field("name", name)
            .field("version", version)
            .field("path", path)
            .field("sha256", sha256)
            .finish_non_exhaustive()
    }
}

/// Reads a plugin file and checks everything that can be checked without running any of it.
///
/// # Errors
///
/// The first thing that is wrong with it.
pub fn inspect(file: &PluginFile) -> Result<Inspected, Refusal> {
    let refuse = |problem: String| Refusal::new(&file.path, problem);
    let bytes = read_trusted(&file.path).map_err(refuse)?;
    let sha256 = hexadecimal(digest(&SHA256, &bytes).as_ref());
    if let Some(pin) = &file.sha256 {
        matches_pin(&sha256, pin).map_err(refuse)?;
    }
    let note = note::read(&bytes).map_err(refuse)?;
    let note::Note { name, version, target, minor, minor_needed, roles } = note;
    let path = Path::to_path_buf(&file.path);
    Ok(Inspected { name, version, target, minor, minor_needed, roles, sha256, path, bytes })
}

fn matches_pin(sha256: &str, pin: &str) -> Result<(), String> {
    let pin = pin.trim();
    if pin.len() != sha256.len() || !pin.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!("is pinned to {pin:?}, which is no SHA-256 in hexadecimal; it has {sha256}"));
    }
    if !pin.eq_ignore_ascii_case(sha256) {
        return Err(format!("has the SHA-256 {sha256}, and config pins {pin}; it is not the file that was pinned"));
    }
    Ok(())
}

fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_compared_whatever_its_letters() {
        let sha256 = hexadecimal(digest(&SHA256, b"abc").as_ref());
        assert_eq!(sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(matches_pin(&sha256, &sha256.to_uppercase()), Ok(()));
        let other = sha256.replace('b', "c");
        let problem = matches_pin(&sha256, &other).unwrap_err();
        assert!(problem.contains(&sha256) && problem.contains(&other), "{problem}");
        assert!(matches_pin(&sha256, "abc").unwrap_err().contains("no SHA-256"));
    }
}
