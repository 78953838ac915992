//! Where the log goes, and how much of it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::filter::LevelFilter;

use crate::Failure;

/// The variable that says how much: error, warn, info, debug, trace, off.
const VARIABLE: &str = "TIDINGS_LOG";

/// Logs to standard error.
pub(crate) fn to_stderr(default: LevelFilter) -> Result<(), Failure> {
    let level = level(default)?;
    tracing_subscriber::fmt().with_max_level(level).with_target(false).with_writer(std::io::stderr).init();
    Ok(())
}

/// Logs to a file, because the terminal is a screen.
pub(crate) fn to_file(path: &Path, default: LevelFilter) -> Result<(), Failure> {
    let level = level(default)?;
    let file = open(path).map_err(|error| Failure::Failed(format!("open log `{}`: {error}", path.display())))?;
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(false)
        .with_writer(Mutex::new(file))
        .init();
    Ok(())
}

/// Made for its owner alone: a log names recipients.
fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn level(default: LevelFilter) -> Result<LevelFilter, Failure> {
    match std::env::var(VARIABLE) {
        Ok(text) if !text.is_empty() => text.parse().map_err(|_| {
            Failure::Usage(format!("{VARIABLE} is `{text}`; expected error, warn, info, debug, trace or off"))
        }),
        _ => Ok(default),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_log_is_made_for_its_owner_alone() {
        let path = std::env::temp_dir().join(format!("tidings-logging-{}.log", std::process::id()));
        let mode = open(&path).unwrap().metadata().unwrap().permissions().mode();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(mode & 0o777, 0o600);
    }
}
