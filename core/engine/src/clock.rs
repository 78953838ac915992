//! The system's time and randomness: the one place that reads either.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

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

/// A fresh random number: enough for jitter, never for secrets.
pub(crate) fn random() -> Random {
    Random(RandomState::new().hash_one(0_u8))
}
