//! The stages of a channel or an app, each bound to an app: where the engine calls into a plugin, whether it is linked in, in a
//! file, or not there at all.
//!
//! A plugin may panic, hang, or lie. What it does is its own fault and one message's: every call here comes back with a
//! value, and none takes a thread of the runtime with it.

mod callback;
mod renderer;
mod source;
mod token;
mod transport;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tidings_host::{Loaded, PluginState, Trouble};
use tidings_model::Outcome;

pub use callback::CallbackStage;
pub use renderer::RendererStage;
pub use source::SourceStage;
pub(crate) use source::{ABSENT_SOURCE, SourceWay};
pub use token::TokenStage;
pub use transport::TransportStage;
pub(crate) use transport::{Begun, Parcel, TransportWay};

/// How long a channel whose plugin is not there waits before it looks again.
const ABSENT_WAIT: Duration = Duration::from_secs(60);

/// How long a channel waits whose plugin had too much to do.
const LATE_WAIT: Duration = Duration::from_secs(1);

/// How long a call that decides something may take, in a plugin file.
const CALL_WAIT: Duration = Duration::from_secs(5);

/// Why a plugin gave no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StageError {
    /// It refuses what it was given: the same would be refused again.
    Refused(String),
    /// It panicked over what it was given, and would again: three of these park the plugin, so nothing is tried twice.
    Panicked(String),
    /// It failed, or broke the contract.
    Broken(String),
    /// It was busy for too long; it may be a matter of another message.
    Late(String),
    /// It is not there, or may not go on, and nothing can be asked of it.
    Absent(String),
}

impl StageError {
    /// The outcome of an attempt of which nothing has gone out yet.
    pub(crate) fn before_sending(self) -> Outcome {
        match self {
            StageError::Refused(reason) | StageError::Panicked(reason) => Outcome::Rejected { reason },
            // Perhaps the message's fault, perhaps a bad release of the plugin's: it is tried again, and then held.
            StageError::Broken(detail) => Outcome::TemplateBroken { detail },
            // No fault of the message: its channel waits.
            StageError::Late(detail) => Outcome::Throttled { retry_after: Some(LATE_WAIT), detail },
            StageError::Absent(detail) => Outcome::Throttled { retry_after: Some(ABSENT_WAIT), detail },
        }
    }
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StageError::Refused(text)
            | StageError::Panicked(text)
            | StageError::Broken(text)
            | StageError::Late(text)
            | StageError::Absent(text) => f.write_str(text),
        }
    }
}

impl From<Trouble> for StageError {
    fn from(trouble: Trouble) -> StageError {
        let text = trouble.to_string();
        match trouble {
            Trouble::Refused(problem) => StageError::Refused(problem),
            Trouble::Late { .. } | Trouble::Full { .. } => StageError::Late(text),
            Trouble::Parked { .. } => StageError::Absent(text),
            Trouble::Panicked { .. } => StageError::Panicked(text),
            Trouble::Failed { .. } | Trouble::Misshapen { .. } => StageError::Broken(text),
        }
    }
}

/// Why a plugin in a file may not go on, if it may not.
fn parked(plugin: &Loaded) -> Option<String> {
    match plugin.state() {
        PluginState::Working => None,
        PluginState::Parked { reason } => Some(format!("plugin `{}` is parked: {reason}", plugin.description().name)),
    }
}

/// Calls into a plugin that is linked in; a panic there is its own, and one message's.
fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, StageError> {
    catch_unwind(AssertUnwindSafe(call))
        .map_err(|_| StageError::Panicked("the plugin panicked; see the log, and tell its author".to_owned()))
}
