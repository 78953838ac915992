//! Where in its moment a firing falls: spread, so that a thousand schedules at nine do not all begin at nine, and always
//! the same for the same firing, so that a restart in between changes nothing.

use std::time::Duration;

use crate::hash::hash;
use crate::time::Timestamp;

/// How long after `nominal` the schedule of that name fires: less than `most`, and before its next nominal time. The same
/// in every build and on every machine.
pub fn jitter(name: &str, nominal: Timestamp, next: Option<Timestamp>, most: Duration) -> Duration {
    let bound = next.map_or(most, |next| most.min(next.since(nominal)));
    let bound_ms = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
    if bound_ms == 0 {
        return Duration::ZERO;
    }
    Duration::from_millis(hash(&[name.as_bytes(), &nominal.0.to_be_bytes()]) % bound_ms)
}
