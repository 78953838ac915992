//! What can keep the screen from being shown.

use std::io;

/// Why there is no screen (any more). An engine that does not answer is no error: the screen says so and tries again.
#[derive(Debug, thiserror::Error)]
pub enum TuiError {
    /// Standard input and output are not both a terminal that can be drawn on.
    #[error(
        "the screen needs a terminal to draw on, and there is none here; \
         look with `tidings channels list` or `tidings messages list` instead, in scripts with `--json`"
    )]
    NoTerminal,
    /// The terminal failed us.
    #[error("{doing}")]
    Terminal {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl TuiError {
    /// For `map_err`: what was tried on the terminal.
    pub(crate) fn terminal(doing: &'static str) -> impl FnOnce(io::Error) -> TuiError {
        move |source| TuiError::Terminal { doing, source }
    }
}
