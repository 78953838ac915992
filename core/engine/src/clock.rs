//! The system's time and randomness: the one place that reads either.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidings_model::retry::Random;
use tidings_model::{Clock, Timestamp};

/// The wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A wall clock that moves back by less than this was only put right.
const STEP_MIN: Duration = Duration::from_secs(1);

/// Compares the wall clock with one that cannot be set.
#[derive(Debug)]
pub(crate) struct Pace {
    wall: Timestamp,
    since: Duration,
}

impl Pace {
    /// `since` is the time since some instant, on a clock that only goes forward.
    pub(crate) fn new(wall: Timestamp, since: Duration) -> Pace {
        Pace { wall, since }
    }

    /// By how much the wall clock was set back since the last look.
    pub(crate) fn set_back(&mut self, wall: Timestamp, since: Duration) -> Option<Duration> {
        let expected = self.wall.after(since.saturating_sub(self.since));
        (self.wall, self.since) = (wall, since);
        Some(expected.since(wall)).filter(|by| *by >= STEP_MIN)
    }
}

/// A fresh random number: enough for jitter, never for secrets.
pub(crate) fn random() -> Random {
    Random(RandomState::new().hash_one(0_u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp(1_700_000_000_000);

    #[test]
    fn a_clock_that_was_set_back_is_noticed_once_and_by_how_much() {
        let seconds = Duration::from_secs;
        let mut pace = Pace::new(NOON, seconds(0));
        assert_eq!(pace.set_back(NOON.after(seconds(10)), seconds(10)), None);
        let back = NOON.before(seconds(3600));
        assert_eq!(pace.set_back(back, seconds(11)), Some(seconds(3611)));
        assert_eq!(pace.set_back(back.after(seconds(1)), seconds(12)), None);
    }

    #[test]
    fn a_clock_that_jumps_ahead_or_is_put_right_is_no_step_back() {
        let seconds = Duration::from_secs;
        let mut pace = Pace::new(NOON, seconds(0));
        assert_eq!(pace.set_back(NOON.after(seconds(86_400)), seconds(1)), None);
        let right = NOON.after(seconds(86_400)).before(Duration::from_millis(500));
        assert_eq!(pace.set_back(right, seconds(1)), None);
    }
}
