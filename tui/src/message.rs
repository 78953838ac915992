//! All that can happen to the screen, and all it can ask for.

use std::sync::Arc;

use crossterm::event::KeyEvent;
use tidings_api::wire::Overview;

/// Something happened.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    /// A key was pressed.
    Key(KeyEvent),
    /// The terminal has another size.
    Resize {
        /// Its columns.
        columns: u16,
        /// Its rows.
        rows: u16,
    },
    /// A call to the engine ended.
    Answered(Result<Arc<Overview>, Trouble>),
    /// A second went by.
    Tick,
}

/// Why a call to the engine came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nobody answers.
    Unreachable,
    /// The engine says no, and why.
    Refused(String),
    /// Somebody else answered: what came.
    Foreign(String),
    /// No answer in time.
    Slow,
}

/// What the loop is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Leave.
    Quit,
    /// Ask the engine now.
    Refresh,
    /// Draw everything again, as if nothing of it stood on the terminal.
    Redraw,
}
