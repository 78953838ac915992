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
const BACK_MIN: Duration = Duration::from_secs(1);
/// A wall clock that moves ahead by less than this does no harm, whether or not it is right.
const AHEAD_MIN: Duration = Duration::from_secs(600);

/// How the wall clock was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Back by so much.
    Back(Duration),
    /// Ahead by so much; or the machine slept.
    Ahead(Duration),
}

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

    /// How the wall clock was set since the last look.
    pub(crate) fn step(&mut self, wall: Timestamp, since: Duration) -> Option<Step> {
        let expected = self.wall.after(since.saturating_sub(self.since));
        (self.wall, self.since) = (wall, since);
        let (back, ahead) = (expected.since(wall), wall.since(expected));
        match () {
            () if back >= BACK_MIN => Some(Step::Back(back)),
            () if ahead >= AHEAD_MIN => Some(Step::Ahead(ahead)),
            () => None,
        }
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
        assert_eq!(pace.step(NOON.after(seconds(10)), seconds(10)), None);
        let back = NOON.before(seconds(3600));
        assert_eq!(pace.step(back, seconds(11)), Some(Step::Back(seconds(3611))));
        assert_eq!(pace.step(back.after(seconds(1)), seconds(12)), None);
    }

    #[test]
    fn a_clock_that_jumps_ahead_is_noticed_and_one_that_is_put_right_is_not() {
        let seconds = Duration::from_secs;
        let mut pace = Pace::new(NOON, seconds(0));
        assert_eq!(pace.step(NOON.after(seconds(86_400)), seconds(1)), Some(Step::Ahead(seconds(86_399))));
        let right = NOON.after(seconds(86_400)).before(Duration::from_millis(500));
        assert_eq!(pace.step(right, seconds(1)), None);
        assert_eq!(pace.step(right.after(seconds(60)), seconds(2)), None);
    }
}
