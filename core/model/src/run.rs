//! Where a run stands.

use std::fmt;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RunState {
    /// It goes on, or will at the next start.
    Running,
    /// It came to its end.
    Done,
    /// It could not, or not in its time.
    Failed,
    /// An operator ended it.
    Cancelled,
    /// The engine stopped in the middle of it, and it cannot be gone on with.
    Interrupted,
}

impl RunState {
    /// All of them, in the order of their numbers.
    pub const ALL: [RunState; 5] =
        [RunState::Running, RunState::Done, RunState::Failed, RunState::Cancelled, RunState::Interrupted];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            RunState::Running => "running",
            RunState::Done => "done",
            RunState::Failed => "failed",
            RunState::Cancelled => "cancelled",
            RunState::Interrupted => "interrupted",
        }
    }

    /// The state of that word.
    pub fn from_name(name: &str) -> Option<RunState> {
        RunState::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Its number in the store.
    pub fn code(self) -> i64 {
        self as i64
    }

    /// The state of that number.
    pub fn from_code(code: i64) -> Option<RunState> {
        RunState::ALL.into_iter().find(|state| state.code() == code)
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_known_by_its_word_and_by_its_number() {
        for state in RunState::ALL {
            assert_eq!(RunState::from_name(state.as_str()), Some(state));
            assert_eq!(RunState::from_code(state.code()), Some(state));
        }
        assert_eq!(RunState::from_code(5), None);
    }
}
