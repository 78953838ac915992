//! Instants. Milliseconds since the Unix epoch, everywhere: in the store, in decisions, on the wire inside.

use std::fmt;
use std::time::Duration;

/// An instant: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This instant and a while; stops at the end of time instead of wrapping.
    pub fn after(self, wait: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(millis(wait)))
    }

    /// This instant less a while.
    pub fn before(self, wait: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(millis(wait)))
    }

    /// How long from `earlier` to this instant; zero if it is not earlier.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339 in UTC with milliseconds: `2026-01-02T03:04:05.678Z`.
    pub fn to_rfc3339(self) -> String {
        match chrono::DateTime::from_timestamp_millis(self.0) {
            Some(instant) => instant.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            None => format!("@{}ms", self.0),
        }
    }

    /// Reads RFC 3339 with any offset.
    pub fn from_rfc3339(text: &str) -> Option<Timestamp> {
        chrono::DateTime::parse_from_rfc3339(text).ok().map(|instant| Timestamp(instant.timestamp_millis()))
    }

    /// The next midnight of a calendar that is `offset` ahead of UTC: when a provider's daily quota is new again.
    pub fn next_midnight(self, offset: Duration) -> Timestamp {
        Timestamp((self.day(offset) + 1) * DAY_MS - millis(offset))
    }

    /// The number of the day since the epoch in a calendar that is `offset` ahead of UTC.
    pub fn day(self, offset: Duration) -> i64 {
        (self.0 + millis(offset)).div_euclid(DAY_MS)
    }
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn millis(wait: Duration) -> i64 {
    i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

/// Where time comes from. The engine reads the system's; tests move their own.
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_rfc_3339() {
        let instant = Timestamp::from_rfc3339("2026-01-02T11:04:05.678+08:00").unwrap();
        assert_eq!(instant.to_string(), "2026-01-02T03:04:05.678Z");
        assert_eq!(Timestamp::from_rfc3339("tomorrow"), None);
    }

    #[test]
    fn a_quota_day_begins_at_midnight_of_the_providers_calendar() {
        let china = Duration::from_secs(8 * 3600);
        let evening = Timestamp::from_rfc3339("2026-01-02T15:59:59Z").unwrap();
        assert_eq!(evening.next_midnight(china).to_string(), "2026-01-02T16:00:00.000Z");
        assert_eq!(Timestamp(evening.0 + 1000).next_midnight(china).to_string(), "2026-01-03T16:00:00.000Z");
    }

    #[test]
    fn arithmetic_stops_at_the_ends_of_time() {
        assert_eq!(Timestamp(i64::MAX).after(Duration::from_secs(1)), Timestamp(i64::MAX));
        assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
    }
}
