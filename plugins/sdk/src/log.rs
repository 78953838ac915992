//! Lines to Tidings' log, from a plugin in a file. Where the plugin is linked in, or tested, they go nowhere.
//!
//! A message is one line, for the people who run Tidings, and without secrets. It is put into words only if somebody
//! reads lines of its level: `log::debug(format_args!("{} connections", connections.len()))`.

use std::fmt::Display;

use tidings_abi::v1;

use crate::border::{host, panics};

/// A person is wanted.
pub fn error(message: impl Display) {
    log(v1::LOG_ERROR, message);
}

/// Somebody should have a look.
pub fn warn(message: impl Display) {
    log(v1::LOG_WARN, message);
}

/// The story of the day.
pub fn info(message: impl Display) {
    log(v1::LOG_INFO, message);
}

/// For who looks for a fault.
pub fn debug(message: impl Display) {
    log(v1::LOG_DEBUG, message);
}

fn log(level: i32, message: impl Display) {
    let instance = panics::instance();
    if host::log_enabled(instance, level) {
        host::log(instance, level, &message.to_string());
    }
}
