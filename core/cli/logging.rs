//! Where the log goes, how much of it, and in which form.

mod json;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Mutex;

use tidings_engine::config::LogFormat;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::Failure;

/// The variable that says how much: error, warn, info, debug, trace, off.
const VARIABLE: &str = "TIDINGS_LOG";

/// The variable that says in which form: text or json. It stands above the config, and a flag above both.
const FORMAT_VARIABLE: &str = "TIDINGS_LOG_FORMAT";

/// Logs to standard error.
pub(crate) fn to_stderr(default: LevelFilter, format: LogFormat) -> Result<(), Failure> {
    begin(level(default)?, format, true, std::io::stderr);
    Ok(())
}

/// The form of the log: as the flag says, or the variable, or the config.
pub(crate) fn format(flag: Option<LogFormat>, config: LogFormat) -> Result<LogFormat, Failure> {
    if let Some(flag) = flag {
        return Ok(flag);
    }
    match std::env::var(FORMAT_VARIABLE) {
        Ok(word) if !word.is_empty() => LogFormat::from_word(&word)
            .ok_or_else(|| Failure::Usage(format!("{FORMAT_VARIABLE} is `{word}`; expected text or json"))),
        _ => Ok(config),
    }
}

fn begin<W>(level: LevelFilter, format: LogFormat, is_terminal: bool, writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let subscriber = tracing_subscriber::fmt().with_max_level(level).with_writer(writer);
    match format {
        LogFormat::Json => subscriber.with_ansi(false).event_format(json::Json).init(),
        LogFormat::Text if is_terminal => subscriber.with_target(false).init(),
        LogFormat::Text => subscriber.with_target(false).with_ansi(false).init(),
    }
}

/// Logs to a file, because the terminal is a screen.
pub(crate) fn to_file(path: &Path, default: LevelFilter, format: LogFormat) -> Result<(), Failure> {
    let level = level(default)?;
    let file = open(path).map_err(|error| Failure::Failed(format!("open log `{}`: {error}", path.display())))?;
    begin(level, format, false, Mutex::new(file));
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
