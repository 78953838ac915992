//! How many calls each key may make: its own `rate`, or `[api.limits] rate`, evenly, with a tenth of a second's worth at
//! once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use tidings_model::Timestamp;
use tidings_model::rate::{Arrival, Rate};

use super::problem::too_fast;

/// The rate of keys that have none of their own, and where each key stands. Names of keys are few: config and the store have them.
#[derive(Debug)]
pub(super) struct Rates {
    common: Option<Rate>,
    arrivals: Mutex<HashMap<Arc<str>, (Rate, Arrival)>>,
}

impl Rates {
    pub(super) fn of(common: Option<Rate>) -> Rates {
        Rates { common, arrivals: Mutex::default() }
    }

    /// Counts a call of a key, or answers it: it has made too many.
    pub(super) fn take(&self, key: &Arc<str>, own: Option<Rate>, now: Timestamp) -> Option<Response> {
        let rate = own.or(self.common)?;
        let wait = {
            let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
            // Where it stands by another rate, from before a reload, says nothing of this one.
            let known = arrivals.get(key).filter(|(by, _)| *by == rate);
            let arrival = known.map(|(_, arrival)| *arrival).unwrap_or_default();
            if rate.allowed(arrival, now) > 0 {
                arrivals.insert(Arc::clone(key), (rate, rate.after(arrival, 1, now)));
                return None;
            }
            rate.next(arrival, now).since(now)
        };
        let Rate { count, period } = rate;
        let mut response = too_fast(key, count, period, own.is_some()).into_response();
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
        let rates = Rates::of(Some(Rate { count: 10, period: Duration::from_secs(20) }));
        let (fast, other) = (Arc::from("fast"), Arc::from("other"));
        let now = Timestamp(1_000_000);
        assert!(rates.take(&fast, None, now).is_none());
        let response = rates.take(&fast, None, now).expect("the second is too fast");
        assert_eq!(response.status(), 429);
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(
            (header("retry-after"), header("ratelimit-policy")),
            ("3".to_owned(), "\"key\";q=10;w=20".to_owned())
        );
        assert!(rates.take(&other, None, now).is_none());
        assert!(rates.take(&fast, None, now.after(Duration::from_secs(3))).is_none());
    }

    #[test]
    fn a_rate_of_its_own_takes_the_place_of_that_of_all_keys() {
        let own = Some(Rate { count: 1, period: Duration::from_secs(60) });
        let (slow, other) = (Arc::from("slow"), Arc::from("other"));
        let now = Timestamp(1_000_000);
        for common in [None, Some(Rate { count: 1000, period: Duration::from_millis(1) })] {
            let rates = Rates::of(common);
            assert!(rates.take(&slow, own, now).is_none());
            assert_eq!(rates.take(&slow, own, now).expect("it is too fast").status(), 429);
            for _ in 0..100 {
                assert!(rates.take(&other, None, now).is_none());
            }
        }
    }
}
