//! How many panics are too many.

use std::time::Duration;

use crate::limits::{PANICS_MAX, PANICS_WITHIN};

/// The last panics of a plugin, by the time since the process began.
#[derive(Debug, Default)]
pub(crate) struct PanicWindow {
    last: [Option<Duration>; PANICS_MAX],
}

impl PanicWindow {
    /// Notes a panic; true if there were too many within the window.
    pub(crate) fn panicked(&mut self, now: Duration) -> bool {
        self.last.rotate_left(1);
        self.last[PANICS_MAX - 1] = Some(now);
        self.last[0].is_some_and(|first| now.saturating_sub(first) <= PANICS_WITHIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(window: &mut PanicWindow, seconds: u64) -> bool {
        window.panicked(Duration::from_secs(seconds))
    }

    #[test]
    fn three_panics_within_ten_minutes_are_too_many() {
        let mut window = PanicWindow::default();
        assert!(!at(&mut window, 0));
        assert!(!at(&mut window, 300));
        assert!(at(&mut window, 600));
    }

    #[test]
    fn panics_far_apart_are_not() {
        let mut window = PanicWindow::default();
        for seconds in [0, 301, 602, 903, 1204] {
            assert!(!at(&mut window, seconds), "{seconds}");
        }
        assert!(at(&mut window, 1205));
    }
}
