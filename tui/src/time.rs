//! Instants of the engine, in words: how long ago, how soon, what the clock says.
//!
//! All ages are by the engine's clock, never by this machine's.

use std::time::Duration;

use chrono::{DateTime, TimeZone, Utc};
use chrono_tz::Tz;

use crate::words::{Language, Word};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// An instant as the API writes it; `None` if it is not one.
pub(crate) fn parse(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|instant| instant.to_utc())
}

/// A length of time: `52s`, `17m`, `1h 42m`, `3d 4h`. Seconds only where nothing else is there: what says them is drawn
/// anew every second.
pub(crate) fn span(seconds: i64) -> String {
    let (large, unit, small, next) = match seconds.max(0) {
        s if s < MINUTE => return format!("{s}s"),
        s if s < HOUR => return format!("{}m", s / MINUTE),
        s if s < DAY => (s / HOUR, "h", s % HOUR / MINUTE, "m"),
        s => (s / DAY, "d", s % DAY / HOUR, "h"),
    };
    if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit} {small}{next}") }
}

/// How long a text of [`span`] or [`relative`] says what it says: the time until it may be another one, and no longer.
pub(crate) fn holds_for(instant: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    let behind_ms = now.signed_duration_since(instant).num_milliseconds();
    let unit_ms = 1_000
        * match behind_ms.abs() / 1_000 {
            s if s < MINUTE => 1,
            s if s < DAY => MINUTE,
            _ => HOUR,
        };
    // What is behind grows to its next unit; what is ahead falls under the one it is at, just after that was whole.
    let left_ms = if behind_ms >= 0 { unit_ms - behind_ms % unit_ms } else { -behind_ms % unit_ms };
    Duration::from_millis(left_ms.unsigned_abs() + 1)
}

/// How long the clock shows the same minute.
pub(crate) fn minute_holds_for(now: DateTime<Utc>) -> Duration {
    const MINUTE_MS: i64 = MINUTE * 1_000;
    let left_ms = MINUTE_MS - now.timestamp_millis().rem_euclid(MINUTE_MS);
    Duration::from_millis(left_ms.unsigned_abs())
}

/// Where an instant lies from now: `in 2m`, `now`, `3m ago`.
pub(crate) fn relative(instant: DateTime<Utc>, now: DateTime<Utc>, language: Language) -> String {
    match instant.signed_duration_since(now).num_seconds() {
        0 => Word::Now.text(language).to_owned(),
        ahead if ahead > 0 => Word::In.with(language, &[&span(ahead)]),
        behind => Word::Ago.with(language, &[&span(behind.saturating_neg())]),
    }
}

/// Hours and minutes of the day, in UTC.
pub(crate) fn hours_and_minutes(instant: DateTime<Utc>) -> String {
    instant.format("%H:%M").to_string()
}

/// The time of day, in UTC.
pub(crate) fn clock(instant: DateTime<Utc>) -> String {
    instant.format("%H:%M:%S").to_string()
}

/// Day and time of day in a zone, for what may be days away; the zone's name stands beside it. An unknown zone is UTC.
pub(crate) fn day_and_clock(instant: DateTime<Utc>, zone: &str) -> String {
    zone.parse::<Tz>().unwrap_or(Tz::UTC).from_utc_datetime(&instant.naive_utc()).format("%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_at_most_two_units() {
        for (seconds, text) in [
            (-5, "0s"),
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (173, "2m"),
            (6_120, "1h 42m"),
            (DAY, "1d"),
            (3 * DAY + 4 * HOUR + 59, "3d 4h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn instants_are_before_at_or_after_now() {
        let now = parse("2026-03-01T12:00:00Z").unwrap();
        let at = |text| relative(parse(text).unwrap(), now, Language::En);
        assert_eq!(at("2026-03-01T12:02:53.5Z"), "in 2m");
        assert_eq!(at("2026-03-01T12:00:00.9Z"), "now");
        assert_eq!(at("2026-03-01T11:57:00Z"), "3m ago");
        assert_eq!(relative(now, now - chrono::TimeDelta::seconds(5), Language::Zh), "5s 后");
    }

    #[test]
    fn a_text_of_time_holds_until_it_may_change_and_not_much_less() {
        let now = parse("2026-03-01T12:00:00.250Z").unwrap();
        for language in [Language::En, Language::Zh] {
            for magnitude in
                [1_i64, 997, 1_000, 59_999, 60_000, 61_500, 3_599_999, 3_600_000, 7_261_000, 86_399_999, 90_061_001]
            {
                for instant in [-magnitude, magnitude].map(|ms| now + chrono::TimeDelta::milliseconds(ms)) {
                    let text = relative(instant, now, language);
                    let holds = holds_for(instant, now);
                    let after = |ms: u128| now + chrono::TimeDelta::milliseconds(i64::try_from(ms).unwrap());
                    assert_eq!(
                        relative(instant, after(holds.as_millis().saturating_sub(2)), language),
                        text,
                        "{magnitude}"
                    );
                    // Around the instant itself it is looked at once more than it changes.
                    if magnitude >= 1_000 {
                        assert_ne!(relative(instant, after(holds.as_millis()), language), text, "{magnitude}");
                    }
                }
            }
        }
        assert_eq!(minute_holds_for(now), Duration::from_millis(59_750));
    }

    #[test]
    fn clocks_are_of_the_schedules_own_zone() {
        let instant = parse("2026-03-01T23:30:00Z").unwrap();
        assert_eq!(day_and_clock(instant, "Asia/Shanghai"), "03-02 07:30:00");
        assert_eq!(day_and_clock(instant, "Nowhere/Land"), "03-01 23:30:00");
        assert_eq!(clock(instant), "23:30:00");
        assert_eq!(parse("yesterday"), None);
    }
}
