//! The sandbox's time: wall clock plus an offset that tests and demos may move.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The one source of time; everything else is given `now_ms`.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    offset_ms: AtomicI64,
}

impl Clock {
    pub(crate) fn now_ms(&self) -> i64 {
        wall_ms().saturating_add(self.offset_ms.load(Ordering::Relaxed))
    }

    /// Moves the clock, backwards when `by_ms` is negative, and returns the new time.
    pub(crate) fn advance(&self, by_ms: i64) -> i64 {
        // Saturating, so that no sequence of control calls wraps time around.
        let moved = self
            .offset_ms
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |offset| Some(offset.saturating_add(by_ms)));
        debug_assert!(moved.is_ok(), "the update always answers Some");
        self.now_ms()
    }
}

fn wall_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
