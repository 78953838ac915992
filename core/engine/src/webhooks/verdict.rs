//! What follows from a receiver's answer: a pure function of what is known. The schedule and the meaning of statuses are
//! those of Standard Webhooks 1.0 ("Operational considerations").

use std::time::Duration;

use tidings_model::Timestamp;
use tidings_model::retry::{Backoff, Random, delay};

const HOUR: u64 = 3600;

/// Before the first try and each that follows.
const SCHEDULE: [Duration; 10] = [
    Duration::from_secs(0),
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * HOUR),
    Duration::from_secs(5 * HOUR),
    Duration::from_secs(10 * HOUR),
    Duration::from_secs(14 * HOUR),
    Duration::from_secs(20 * HOUR),
    Duration::from_secs(24 * HOUR),
];
/// A delay is longer by at most this share of it: receivers that come back are not met by everything at once.
const JITTER: u32 = 10;
/// A receiver that took nothing for so long is told nothing more. One notice that is refused while others are taken is
/// given up alone.
const FAILING_MAX: Duration = Duration::from_secs(3 * 24 * HOUR);
/// How long a receiver has everything wait at most.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * HOUR);
/// While a receiver fails it is tried with one notice at a time, and so seldom.
const REST: Backoff = Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(300) };

/// What a receiver answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// With a status, and perhaps when to come again.
    Status(u16, Option<Duration>),
    /// Not at all, and what was found instead.
    Nothing(String),
}

/// How it stands with a webhook, and with the notice, before the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Before {
    /// Tries of this notice, this one included.
    pub(crate) attempts: u32,
    /// Since when every try of the webhook failed.
    pub(crate) failing_since: Option<Timestamp>,
    /// How many failed one after the other before.
    pub(crate) failures: u32,
}

/// What becomes of a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was told.
    Told,
    /// It is tried again then.
    Again(Timestamp),
    /// It is given up: it alone was refused again and again.
    GivenUp,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) fate: Fate,
    /// What was found instead of a yes, for people; empty after one.
    pub(crate) found: String,
    /// Why the webhook is told nothing more, if so.
    pub(crate) disable: Option<String>,
    /// Nothing is posted to it before.
    pub(crate) rest_until: Option<Timestamp>,
}

/// Decides what follows from an answer.
pub(crate) fn judge(answer: &Answer, before: Before, now: Timestamp, random: Random) -> Verdict {
    let (found, retry_after) = match answer {
        Answer::Status(200..=299, _) => {
            return Verdict { fate: Fate::Told, found: String::new(), disable: None, rest_until: None };
        }
        Answer::Status(status @ 300..=399, _) => {
            (format!("HTTP {status}: redirects are not followed; put the new address into config"), None)
        }
        Answer::Status(410, _) => {
            let found = "HTTP 410: the receiver is gone for good".to_owned();
            // It waits as it is: whoever sets the webhook going wants it told.
            return Verdict { fate: Fate::Again(now), disable: Some(found.clone()), found, rest_until: None };
        }
        Answer::Status(status, after) => (format!("HTTP {status}"), *after),
        Answer::Nothing(found) => (found.clone(), None),
    };
    let retry_after = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
    let rest = delay(REST, before.failures.saturating_add(1), random).max(retry_after);
    let failing = before.failing_since.map(|since| now.since(since)).unwrap_or_default();
    let (fate, last) = match SCHEDULE.get(usize::try_from(before.attempts).unwrap_or(usize::MAX)) {
        Some(wait) => {
            let wait = random.between(*wait, *wait + *wait / JITTER).max(retry_after);
            (Fate::Again(now.after(wait)), false)
        }
        None if failing < FAILING_MAX => (Fate::GivenUp, true),
        None => (Fate::Again(now), true),
    };
    let disable = (failing >= FAILING_MAX && (last || failing >= FAILING_MAX * 2))
        .then(|| format!("it took nothing for {} hours; the last answer: {found}", failing.as_secs() / HOUR));
    Verdict { fate, found, disable, rest_until: Some(now.after(rest)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp(1_700_000_000_000);
    const MIDDLE: Random = Random(u64::MAX / 2);

    fn first() -> Before {
        Before { attempts: 1, failing_since: None, failures: 0 }
    }

    fn waits(verdict: &Verdict, now: Timestamp) -> Duration {
        let Fate::Again(at) = verdict.fate else { panic!("it is tried again: {verdict:?}") };
        at.since(now)
    }

    #[test]
    fn only_two_hundreds_are_a_yes() {
        for status in [200, 201, 204, 299] {
            assert_eq!(judge(&Answer::Status(status, None), first(), NOON, MIDDLE).fate, Fate::Told, "{status}");
        }
        for status in [100, 199, 300, 301, 302, 307, 308, 400, 401, 404, 429, 500, 502, 503, 504] {
            let verdict = judge(&Answer::Status(status, None), first(), NOON, MIDDLE);
            assert!(matches!(verdict.fate, Fate::Again(_)), "{status}: {verdict:?}");
            assert!(verdict.found.contains(&status.to_string()) && verdict.disable.is_none());
        }
        let nothing = judge(&Answer::Nothing("no answer".to_owned()), first(), NOON, MIDDLE);
        assert_eq!((nothing.found.as_str(), waits(&nothing, NOON).as_secs()), ("no answer", 5));
    }

    #[test]
    fn tries_follow_the_schedule_of_the_specification_and_then_the_webhook_is_disabled() {
        let (mut now, mut waited) = (NOON, Vec::new());
        for attempts in 1..=10 {
            let failing_since = (attempts > 1).then_some(NOON);
            let before = Before { attempts, failing_since, failures: attempts - 1 };
            let verdict = judge(&Answer::Status(500, None), before, now, Random(0));
            if attempts < 10 {
                waited.push(waits(&verdict, now).as_secs());
                assert_eq!(verdict.disable, None, "try {attempts}");
                now = now.after(waits(&verdict, now));
            } else {
                assert!(verdict.disable.is_some_and(|why| why.contains("HTTP 500")));
                assert_eq!(verdict.fate, Fate::Again(now), "it is kept for whoever sets the webhook going");
            }
        }
        assert_eq!(waited, [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]);
    }

    #[test]
    fn one_notice_that_is_refused_while_others_are_taken_is_given_up_alone() {
        let before = Before { attempts: 10, failing_since: Some(NOON), failures: 1 };
        let verdict = judge(&Answer::Status(400, None), before, NOON.after(Duration::from_secs(60)), MIDDLE);
        assert_eq!((verdict.fate, verdict.disable), (Fate::GivenUp, None));
    }

    #[test]
    fn who_is_gone_is_disabled_at_once_and_the_notice_is_kept() {
        let verdict = judge(&Answer::Status(410, None), first(), NOON, MIDDLE);
        assert!(verdict.disable.is_some() && verdict.fate == Fate::Again(NOON), "{verdict:?}");
    }

    #[test]
    fn retry_after_is_honoured_for_the_notice_and_for_all_others_up_to_a_day() {
        let hour = Duration::from_secs(HOUR);
        for status in [429, 502, 503, 504] {
            let verdict = judge(&Answer::Status(status, Some(hour)), first(), NOON, MIDDLE);
            assert_eq!((waits(&verdict, NOON), verdict.rest_until), (hour, Some(NOON.after(hour))), "{status}");
        }
        let verdict = judge(&Answer::Status(503, Some(hour * 999)), first(), NOON, MIDDLE);
        assert_eq!(waits(&verdict, NOON), hour * 24);
    }

    #[test]
    fn a_receiver_that_fails_is_left_alone_longer_each_time_up_to_a_bound() {
        let rest = |failures| {
            let before = Before { failures, failing_since: Some(NOON), ..first() };
            judge(&Answer::Status(500, None), before, NOON, Random(u64::MAX)).rest_until.unwrap().since(NOON)
        };
        assert!(rest(0) < rest(1) && rest(1) < rest(5));
        assert!(rest(50) <= Duration::from_secs(300));
    }
}
