//! How many calls each key may make: `[api.limits] rate`, evenly, with a tenth of a second's worth at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use tidings_model::Timestamp;
use tidings_model::rate::{Arrival, Rate};

use super::problem::too_fast;

/// The rate, and where each key stands. Names of keys are few: config and the store have them.
#[derive(Debug)]
pub(super) struct Rates {
    rate: Rate,
    arrivals: Mutex<HashMap<Arc<str>, Arrival>>,
}

impl Rates {
    pub(super) fn of(rate: Rate) -> Rates {
        Rates { rate, arrivals: Mutex::default() }
    }

    /// Counts a call of a key, or answers it: it has made too many.
    pub(super) fn take(&self, key: &Arc<str>, now: Timestamp) -> Option<Response> {
        let wait = {
            let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
            let arrival = arrivals.get(key).copied().unwrap_or_default();
            if self.rate.allowed(arrival, now) > 0 {
                arrivals.insert(Arc::clone(key), self.rate.after(arrival, 1, now));
                return None;
            }
            self.rate.next(arrival, now).since(now)
        };
        let Rate { count, period } = self.rate;
        let mut response = too_fast(key, count, period).into_response();
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        // draft-ietf-httpapi-ratelimit-headers-10.
        let policy = HeaderValue::try_from(format!("\"key\";q={count};w={}", whole_seconds(period)));
        let left = HeaderValue::try_from(format!("\"key\";r=0;t={}", whole_seconds(wait)));
        for (name, value) in [("ratelimit-policy", policy), ("ratelimit", left)] {
            response.headers_mut().insert(name, value.expect("numbers are visible ASCII"));
        }
        Some(response)
    }
}

fn whole_seconds(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1000).max(1).try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_that_is_too_fast_is_told_when_to_come_again_and_others_are_not_held_up() {
        let rates = Rates::of(Rate { count: 10, period: Duration::from_secs(20) });
        let (fast, other) = (Arc::from("fast"), Arc::from("other"));
        let now = Timestamp(1_000_000);
        assert!(rates.take(&fast, now).is_none());
        let response = rates.take(&fast, now).expect("the second is too fast");
        assert_eq!(response.status(), 429);
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(
            (header("retry-after"), header("ratelimit-policy")),
            ("3".to_owned(), "\"key\";q=10;w=20".to_owned())
        );
        assert!(rates.take(&other, now).is_none());
        assert!(rates.take(&fast, now.after(Duration::from_secs(3))).is_none());
    }
}
