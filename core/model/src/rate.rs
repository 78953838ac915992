//! The rate of a channel: the generic cell rate algorithm (GCRA, ITU-T I.371), one integer of state.
//!
//! The state is the theoretical arrival time of the next message. It is written in the same transaction as the claims
//! it allowed, so a restart cannot double a budget.

use std::time::Duration;

use crate::time::Timestamp;

/// So many messages in so long, evenly, with a burst of at most [`Rate::burst`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Messages.
    pub count: u32,
    /// In this long.
    pub period: Duration,
}

/// Microseconds since the epoch: milliseconds are too coarse for a thousand messages a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Arrival(pub i64);

impl Rate {
    /// Microseconds between two messages.
    fn interval(self) -> i64 {
        let micros = self.period.as_micros() / u128::from(self.count.max(1));
        i64::try_from(micros).unwrap_or(i64::MAX).max(1)
    }

    /// When each of many goes that begin together and must not go together: the one at this place, from 0.
    pub fn place(self, start: Timestamp, place: u32) -> Timestamp {
        let micros = self.period.as_micros().saturating_mul(u128::from(place)) / u128::from(self.count.max(1));
        start.after(Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)))
    }

    /// How many may go at once after a quiet while: a tenth of a second's worth, at least one.
    pub fn burst(self) -> u32 {
        let worth = u128::from(self.count) * 100_000 / self.period.as_micros().max(1);
        u32::try_from(worth).unwrap_or(u32::MAX).max(1)
    }

    /// How many may go now, given the theoretical arrival of the next.
    pub fn allowed(self, arrival: Arrival, now: Timestamp) -> u32 {
        let now = now.0.saturating_mul(1000);
        let latest = now.saturating_add(self.interval().saturating_mul(i64::from(self.burst()) - 1));
        let room = latest.saturating_sub(self.sane(arrival, now).max(now));
        if room < 0 {
            return 0;
        }
        u32::try_from(room / self.interval() + 1).unwrap_or(u32::MAX).min(self.burst())
    }

    /// The state after `count` messages went.
    pub fn after(self, arrival: Arrival, count: u32, now: Timestamp) -> Arrival {
        let now = now.0.saturating_mul(1000);
        let start = self.sane(arrival, now).max(now);
        Arrival(start.saturating_add(self.interval().saturating_mul(i64::from(count))))
    }

    /// When at least one may go.
    pub fn next(self, arrival: Arrival, now: Timestamp) -> Timestamp {
        let slack = self.interval().saturating_mul(i64::from(self.burst()) - 1);
        let arrival = self.sane(arrival, now.0.saturating_mul(1000));
        Timestamp(arrival.saturating_sub(slack).div_euclid(1000) + 1)
    }

    /// No history of this rate puts the next arrival further ahead than one burst. One that does comes from another
    /// rate, or from a clock that was set back since, and must not close the channel for as long.
    fn sane(self, arrival: Arrival, now: i64) -> i64 {
        arrival.0.min(now.saturating_add(self.interval().saturating_mul(i64::from(self.burst()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the pattern of asking, no window of the rate's length sees more than the rate and one burst.
        #[test]
        fn no_window_sees_more_than_the_rate_and_a_burst(
            count in 1u32..500, steps in proptest::collection::vec((0i64..200, 0u32..300), 1..200),
        ) {
            let rate = Rate { count, period: Duration::from_secs(1) };
            let (mut now, mut arrival, mut sent) = (1_000_000i64, Arrival::default(), Vec::new());
            for (wait, want) in steps {
                now += wait;
                let n = rate.allowed(arrival, Timestamp(now)).min(want);
                arrival = rate.after(arrival, n, Timestamp(now));
                sent.push((now, n));
            }
            for (start, _) in &sent {
                let total: u32 = sent.iter().filter(|(at, _)| (*start..start + 1000).contains(at)).map(|(_, n)| n).sum();
                prop_assert!(total <= count + rate.burst(), "{total} in a second at {count}/s");
            }
        }

        /// However many there are: whole milliseconds make room for one more at most.
        #[test]
        fn of_many_that_are_spread_no_window_has_more_than_the_rate(
            count in 1u32..5_000, seconds in 1u64..60, from in 0u32..100_000,
        ) {
            let rate = Rate { count, period: Duration::from_secs(seconds) };
            let start = Timestamp(1_000_000);
            let (first, last) = (rate.place(start, from), rate.place(start, from + count));
            prop_assert!(last.since(first) + Duration::from_millis(1) >= rate.period, "{first} to {last}");
            prop_assert!(last.since(first) <= rate.period + Duration::from_millis(1), "{first} to {last}");
            prop_assert_eq!(rate.place(start, 0), start);
        }

        #[test]
        fn after_the_named_wait_one_may_go(count in 1u32..100_000, seconds in 1u64..90_000, n in 1u32..50) {
            let rate = Rate { count, period: Duration::from_secs(seconds) };
            let now = Timestamp(1_000_000);
            let arrival = rate.after(Arrival::default(), n.min(rate.burst()), now);
            prop_assert!(rate.allowed(arrival, rate.next(arrival, now)) >= 1);
        }
    }

    #[test]
    fn another_rates_history_or_a_clock_set_back_closes_nothing_for_long() {
        let slow = Rate { count: 1, period: Duration::from_secs(86_400) };
        let fast = Rate { count: 100, period: Duration::from_secs(1) };
        let now = Timestamp(1_000_000_000);
        let arrival = slow.after(Arrival::default(), 1, now);
        assert!(fast.next(arrival, now) <= Timestamp(now.0 + 100));
    }

    #[test]
    fn a_quiet_while_earns_no_more_than_one_burst() {
        let rate = Rate { count: 100, period: Duration::from_secs(1) };
        assert_eq!(rate.burst(), 10);
        assert_eq!(rate.allowed(Arrival(0), Timestamp(1_000_000_000)), 10);
    }
}
