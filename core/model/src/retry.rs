//! How long until the next attempt: exponential back-off with full jitter.

use std::time::Duration;

/// How a channel retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first delay is at most this.
    pub base: Duration,
    /// No delay is longer than this.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { base: Duration::from_secs(5), cap: Duration::from_secs(3600) }
    }
}

/// A number drawn evenly from `0..=u64::MAX`, passed in so that decisions stay pure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Random(pub u64);

impl Random {
    /// A duration drawn evenly from `from..=to`.
    pub fn between(self, from: Duration, to: Duration) -> Duration {
        let span = to.saturating_sub(from).as_nanos();
        let share = (span * u128::from(self.0)) >> 64;
        from + Duration::from_nanos(u64::try_from(share).unwrap_or(u64::MAX))
    }
}

/// The delay after the `attempt`th try (1 for the first): drawn from `base/2 ..= min(cap, base·2ⁿ⁻¹)`.
///
/// Jitter is not a nicety: without it a provider that comes back is met by every message at once.
pub fn delay(backoff: Backoff, attempt: u32, random: Random) -> Duration {
    let doublings = attempt.saturating_sub(1).min(31);
    let top = backoff.base.saturating_mul(1 << doublings).min(backoff.cap);
    random.between((backoff.base / 2).min(top), top)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_top_doubles_until_the_cap() {
        let backoff = Backoff { base: Duration::from_secs(5), cap: Duration::from_secs(60) };
        let tops: Vec<f64> = (1..=6).map(|n| delay(backoff, n, Random(u64::MAX)).as_secs_f64().round()).collect();
        assert_eq!(tops, [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]);
    }

    proptest! {
        #[test]
        fn a_delay_is_never_zero_nor_over_the_cap(
            base in 1u64..10_000_000, cap in 1u64..10_000_000, attempt: u32, random: u64,
        ) {
            let backoff = Backoff { base: Duration::from_millis(base), cap: Duration::from_millis(cap) };
            let delay = delay(backoff, attempt, Random(random));
            prop_assert!(delay > Duration::ZERO && delay <= backoff.cap);
        }
    }
}
