//! All that can happen to the screen, and all it can ask for.

use std::time::Duration;

use crossterm::event::KeyEvent;

use crate::acts::{Act, Place, Plan, Step};
use crate::calls::{Answer, Request, Trouble};
use crate::view::paint::Hit;

/// Something happened.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    /// A key was pressed.
    Key(KeyEvent),
    /// Text was pasted.
    Paste(String),
    /// The mouse was clicked on something.
    Click(Hit),
    /// The mouse's wheel was turned, down or up.
    Wheel {
        /// Down, or up.
        down: bool,
    },
    /// The terminal has another size.
    Resize {
        /// Its columns.
        columns: u16,
        /// Its rows.
        rows: u16,
    },
    /// A call to the engine ended.
    Answered {
        /// What was asked.
        request: Request,
        /// What came.
        result: Result<Answer, Trouble>,
        /// When it came, since the screen began.
        came_at: Duration,
    },
    /// The engine said what an act would do.
    Planned {
        /// Which dialog asked.
        dialog: u64,
        /// What it said.
        result: Result<Plan, Trouble>,
    },
    /// An act got further, or to its end.
    Advanced {
        /// Which dialog asked.
        dialog: u64,
        /// How.
        result: Result<Step, Trouble>,
    },
    /// Time went by.
    Tick,
}

/// What the loop is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Leave.
    Quit,
    /// Ask the engine now.
    Refresh,
    /// Draw everything again, as if nothing of it stood on the terminal.
    Redraw,
    /// Ask the engine what an act would do.
    Plan {
        /// For which dialog.
        dialog: u64,
        /// The act.
        act: Act,
    },
    /// Have the engine carry an act out.
    CarryOut {
        /// For which dialog.
        dialog: u64,
        /// The act.
        act: Act,
        /// Why.
        reason: Option<String>,
        /// Where it begins.
        place: Place,
    },
}
