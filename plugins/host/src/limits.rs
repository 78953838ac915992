//! Every bound of the host, by its name. What a plugin may take of our memory and our patience stands here.

use std::time::Duration;

/// Bytes a plugin file may have.
pub const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Plugin files that one process loads in its life: none is ever unloaded.
pub const PLUGINS_MAX: usize = 1024;
/// Instances that live at once in one plugin.
pub const INSTANCES_MAX: usize = 4096;
/// Deliveries that one `submit` offers.
pub const SUBMIT_BATCH_MAX: usize = 64;

/// What is left of a delivery's time when it is handed over, at the least: with less, nobody would hear the answer.
pub const HAND_OVER_MIN: Duration = Duration::from_millis(50);
/// How long a channel waits whose plugin took no more.
pub const BUSY_WAIT: Duration = Duration::from_secs(1);

/// Bytes of a text for people: a detail, a problem. What is longer is cut before it is copied.
pub const DETAIL_BYTES_MAX: usize = 1024;
/// Bytes of a field's name in a problem, and of a provider's id of a message.
pub const NAME_BYTES_MAX: usize = 256;
/// Problems that one call may tell.
pub const PROBLEMS_MAX: usize = 100;
/// Bytes of the URL of a request.
pub const URL_BYTES_MAX: usize = 16 * 1024;
/// Bytes of the body of a request.
pub const REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// Headers of a request.
pub const HEADERS_MAX: usize = 64;
/// Bytes of one header.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a token.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Bytes of each text of a permit.
pub const PERMIT_BYTES_MAX: usize = 4096;
/// Bytes of all that a renderer makes of one template.
pub const RENDERED_BYTES_MAX: usize = 1024 * 1024;
/// Events that one push may tell.
pub const EVENTS_MAX: usize = 1000;
/// Bytes of the answer to a push.
pub const REPLY_BYTES_MAX: usize = 256 * 1024;

/// Lines a plugin may log in one second, over a while.
pub const LOG_LINES_PER_SECOND: u32 = 100;
/// Lines a plugin may log at once.
pub const LOG_LINES_BURST: u32 = 200;
/// Lines over those bounds after which the thread that logs them rests: who floods the log slows itself, not its
/// neighbours.
pub const LOG_LINES_PER_REST: u64 = 256;
/// For so long.
pub const LOG_REST: Duration = Duration::from_millis(1);
/// Bytes of one line.
pub const LINE_BYTES_MAX: usize = 4096;

/// Panics that park a plugin, when they come within [`PANICS_WITHIN`].
pub const PANICS_MAX: usize = 3;
/// How long a panic is remembered.
pub const PANICS_WITHIN: Duration = Duration::from_secs(600);

/// The bounds of one plugin that a test, or one day config, sets otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long a file may take to load and to say what it is.
    pub load_timeout: Duration,
    /// How long an instance may take to be made.
    pub open_timeout: Duration,
    /// How long a call may be inside the plugin before the plugin is parked.
    pub stuck_after: Duration,
    /// Calls that wait for the plugin's thread.
    pub calls_waiting_max: usize,
    /// Deliveries of a `transport` that wait for an answer.
    pub operations_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            load_timeout: Duration::from_secs(5),
            open_timeout: Duration::from_secs(5),
            stuck_after: Duration::from_secs(30),
            calls_waiting_max: 16_384,
            operations_max: 65_536,
        }
    }
}
