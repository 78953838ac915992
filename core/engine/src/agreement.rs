//! Whether this engine's clock agrees with those of the engines that share its store.
//!
//! Their wall clocks decide across engines: when the window ends in which a provider drops a second copy, what is due, what
//! ran out of time, what is old. Nobody compares two of them; each is compared with the database's, whenever the lease is
//! renewed and between by a clock that nobody sets. One that is surely off decides nothing until it is in step again.

use std::fmt;
use std::time::Duration;

use tidings_model::Timestamp;
use tidings_store::Lease;

/// A clock that differs by more is told of.
const TOLD_FROM: Duration = Duration::from_secs(1);

/// A clock that differs by more decides nothing: two engines are twice as far apart at most, and providers' windows are minutes.
const TRUSTED_TO: Duration = Duration::from_secs(5);

/// How far a clock is from the database's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offset {
    /// Milliseconds ahead; below zero behind.
    pub(crate) ahead_ms: i64,
    /// How far that may be wrong, either way.
    within: Duration,
}

impl Offset {
    fn new(here: Timestamp, there: Timestamp, within: Duration) -> Offset {
        Offset { ahead_ms: here.0.saturating_sub(there.0), within }
    }

    /// Of this engine's clock; `None` where there is no other.
    pub(crate) fn of(lease: &Lease, now: Timestamp) -> Option<Offset> {
        lease.database_clock().map(|(there, within)| Offset::new(now, there, within))
    }

    /// Whether nothing may be decided by it, for sure.
    pub(crate) fn is_off(self) -> bool {
        self.is_surely_above(TRUSTED_TO)
    }

    fn differs_by(self) -> Duration {
        Duration::from_millis(self.ahead_ms.unsigned_abs())
    }

    fn is_surely_above(self, bound: Duration) -> bool {
        self.differs_by().saturating_sub(self.within) > bound
    }

    fn is_surely_within(self, bound: Duration) -> bool {
        self.differs_by() + self.within <= bound
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.ahead_ms < 0 { "behind" } else { "ahead of" };
        write!(f, "this engine's clock is {:.1} s {side} the database's", self.differs_by().as_secs_f64())
    }
}

/// How a clock stands. What is not sure changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Agreement {
    /// As the database's.
    #[default]
    InStep,
    /// It differs, and does no harm.
    Differs,
    /// Nothing is decided by it.
    Off,
}

impl Agreement {
    pub(crate) fn next(self, offset: Offset) -> Agreement {
        match self {
            _ if offset.is_off() => Agreement::Off,
            Agreement::Off if !offset.is_surely_within(TRUSTED_TO) => Agreement::Off,
            _ if offset.is_surely_above(TOLD_FROM) => Agreement::Differs,
            Agreement::Off | Agreement::Differs if !offset.is_surely_within(TOLD_FROM) => Agreement::Differs,
            _ => Agreement::InStep,
        }
    }

    /// What is wrong, for people, if nothing may be decided by the clock.
    pub(crate) fn problem(self, offset: Offset) -> Option<String> {
        (self == Agreement::Off).then(|| {
            format!(
                "{offset}: until they agree this engine sends nothing, makes nothing due, and expires and removes nothing; set \
                 the clock of this machine, or of the database's server, by the network's time"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp(1_700_000_000_000);

    fn off_by(ahead_ms: i64, within_ms: u64) -> Offset {
        Offset::new(Timestamp(NOON.0 + ahead_ms), NOON, Duration::from_millis(within_ms))
    }

    #[test]
    fn a_clock_is_told_of_from_one_second_on_and_decides_nothing_from_five_on() {
        for sign in [1, -1] {
            for (ahead, expected) in [
                (0, Agreement::InStep),
                (1_000, Agreement::InStep),
                (1_011, Agreement::Differs),
                (5_010, Agreement::Differs),
                (5_011, Agreement::Off),
                (480_000, Agreement::Off),
            ] {
                assert_eq!(Agreement::InStep.next(off_by(sign * ahead, 10)), expected, "{}", sign * ahead);
            }
        }
    }

    #[test]
    fn what_is_not_sure_changes_nothing() {
        // The answer took four seconds: it may be off by two more or less.
        for (offset, stands) in [
            (off_by(6_000, 2_000), [Agreement::Differs, Agreement::Differs, Agreement::Off]),
            (off_by(2_500, 2_000), [Agreement::InStep, Agreement::Differs, Agreement::Differs]),
        ] {
            let before = [Agreement::InStep, Agreement::Differs, Agreement::Off];
            assert_eq!(before.map(|before| before.next(offset)), stands, "{offset:?}");
        }
        assert!(!off_by(6_000, 2_000).is_off() && off_by(7_001, 2_000).is_off());
    }

    #[test]
    fn a_clock_that_was_off_decides_again_when_it_is_in_step_for_sure() {
        assert_eq!(Agreement::Off.next(off_by(4_995, 10)), Agreement::Off);
        assert_eq!(Agreement::Off.next(off_by(4_990, 10)), Agreement::Differs);
        assert_eq!(Agreement::Off.next(off_by(0, 10)), Agreement::InStep);
    }

    #[test]
    fn what_is_told_says_by_how_much_and_what_to_do() {
        let problem = Agreement::Off.problem(off_by(-480_000, 1)).unwrap();
        assert!(problem.contains("480.0 s behind the database's") && problem.contains("set the clock"), "{problem}");
        assert!(Agreement::Off.problem(off_by(480_000, 1)).unwrap().contains("480.0 s ahead of"));
        assert_eq!(Agreement::Differs.problem(off_by(2_000, 1)), None);
    }
}
