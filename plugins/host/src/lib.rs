//! Plugins as files: finds, verifies, opens and calls them. Linux only.
//!
//! Nothing a plugin does is believed: not its size, its time, its order, its threads, its texts. [`inspect()`] reads a file
//! and runs none of it; [`load`] loads the very bytes that were checked, on a thread of the plugin's own; a stage that was
//! opened is called there, one call at a time, and whoever waits for it waits no longer than it says. What broke the
//! contract is counted and told by the plugin's name, and other plugins go on.
//!
//! What cannot be held off in one process: a plugin has all our rights, and a crash in it is ours.
#![expect(unsafe_code, reason = "the other side of the border is foreign code")]

#[cfg(not(target_os = "linux"))]
compile_error!("tidings-host loads ELF files through /proc and sealed memory: it is for Linux");

mod border;
mod calls;
pub mod check;
mod direct;
mod fields;
mod image;
mod inspect;
pub mod limits;
mod lines;
mod loaded;
mod note;
mod opened;
mod operations;
mod panics;
mod queue;
mod read;
mod refusal;
mod reply;
mod resident;
mod stages;
mod table;
mod tables;
mod transport;
mod trouble;
mod trust;

pub use direct::direct;
pub use inspect::{Inspected, PluginFile, inspect};
pub use limits::Limits;
pub use loaded::{Loaded, load, load_with};
pub use refusal::Refusal;
pub use resident::{Counters, PluginState};
pub use stages::{
    FileCallback, FileCredentialSource, FileHttpTransport, FileRenderer, FileTokenProvider, FileTransport, OwnedPush,
};
pub use trouble::{OpenError, RenderTrouble, Trouble};
