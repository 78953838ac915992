//! The calendar: when a period begins and ends in a fixed offset from UTC.
//!
//! Whole numbers only, on the proleptic Gregorian calendar: a period is a pure function of an instant, and every
//! instant lies in exactly one. Days have 24 hours, because the offset is fixed.

use std::str::FromStr;

use tidings_sdk::Timestamp;

/// The periods, as config has them.
pub(crate) const WORDS: &[&str] = &["hour", "day", "week", "month"];

const MINUTE_MS: i64 = 60 * 1000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
const WEEK_DAYS: i64 = 7;

/// Days from 1970-01-01, a Thursday, to the Monday after it.
const FIRST_MONDAY: i64 = 4;

/// The largest offset that any place has.
const OFFSET_HOURS_MAX: i64 = 14;

/// A unit of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Hour,
    Day,
    Week,
    Month,
}

impl Unit {
    /// The unit of a word of [`WORDS`].
    pub(crate) fn of(word: &str) -> Option<Unit> {
        match word {
            "hour" => Some(Unit::Hour),
            "day" => Some(Unit::Day),
            "week" => Some(Unit::Week),
            "month" => Some(Unit::Month),
            _ => None,
        }
    }
}

/// How far a calendar is ahead of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UtcOffset {
    ms: i64,
}

impl FromStr for UtcOffset {
    type Err = String;

    fn from_str(text: &str) -> Result<UtcOffset, String> {
        let expected = || {
            format!(
                "is no offset such as +08:00 or -05:30, at most {OFFSET_HOURS_MAX} hours; names of zones are not read"
            )
        };
        let digits =
            |at: usize| text.as_bytes().get(at).filter(|byte| byte.is_ascii_digit()).map(|it| i64::from(it - b'0'));
        let pair = |at: usize| Some(digits(at)? * 10 + digits(at + 1)?);
        let sign = match text.as_bytes().first() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Err(expected()),
        };
        let (Some(hours), Some(b':'), Some(minutes), 6) = (pair(1), text.as_bytes().get(3), pair(4), text.len()) else {
            return Err(expected());
        };
        let ms = hours * HOUR_MS + minutes * MINUTE_MS;
        if minutes >= 60 || ms > OFFSET_HOURS_MAX * HOUR_MS {
            return Err(expected());
        }
        Ok(UtcOffset { ms: sign * ms })
    }
}

/// One hour, day, week or month: from its start to just before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period {
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
}

impl Period {
    /// The one that `now` lies in.
    pub(crate) fn at(now: Timestamp, unit: Unit, offset: UtcOffset) -> Period {
        let local = now.0.saturating_add(offset.ms);
        let day = local.div_euclid(DAY_MS);
        let (start, end) = match unit {
            Unit::Hour => {
                let start = local.div_euclid(HOUR_MS).saturating_mul(HOUR_MS);
                (start, start.saturating_add(HOUR_MS))
            }
            Unit::Day => days(day, day + 1),
            Unit::Week => {
                let monday = day - (day - FIRST_MONDAY).rem_euclid(WEEK_DAYS);
                days(monday, monday + WEEK_DAYS)
            }
            Unit::Month => {
                let month = month_of(day);
                days(first_day(month), first_day(month + 1))
            }
        };
        Period { start: Timestamp(start.saturating_sub(offset.ms)), end: Timestamp(end.saturating_sub(offset.ms)) }
    }
}

/// Two days since 1970 as the milliseconds at which they begin.
fn days(start: i64, end: i64) -> (i64, i64) {
    (start.saturating_mul(DAY_MS), end.saturating_mul(DAY_MS))
}

// Months are numbered through, from March of the year 0: a leap day is then the last of its year, and the lengths of the
// months before it are always the same. An era is 400 years, after which the calendar repeats.
const MONTHS_OF_YEAR: i64 = 12;
const DAYS_OF_ERA: i64 = 146_097;
const YEARS_OF_ERA: i64 = 400;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAY: i64 = 719_468;

/// The first day of a month, in days since 1970.
fn first_day(month: i64) -> i64 {
    let (year, month) = (month.div_euclid(MONTHS_OF_YEAR), month.rem_euclid(MONTHS_OF_YEAR));
    let (era, year) = (year.div_euclid(YEARS_OF_ERA), year.rem_euclid(YEARS_OF_ERA));
    let before_year = year * 365 + year / 4 - year / 100;
    // 31, 30, 31, 30, 31 days, over and over: five months are 153 days.
    let before_month = (153 * month + 2) / 5;
    era * DAYS_OF_ERA + before_year + before_month - EPOCH_DAY
}

/// The month that a day since 1970 lies in.
fn month_of(day: i64) -> i64 {
    let day = day + EPOCH_DAY;
    let (era, day) = (day.div_euclid(DAYS_OF_ERA), day.rem_euclid(DAYS_OF_ERA));
    // Leap days are taken out (one in 1461, 36,524 and 146,097 days), then every year has 365.
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (year * 365 + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    (era * YEARS_OF_ERA + year) * MONTHS_OF_YEAR + month
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Datelike, Days, FixedOffset, Months, NaiveDate, NaiveTime, TimeZone, Timelike};
    use proptest::prelude::*;

    use super::*;

    /// The period of an instant as `start end`, in UTC.
    fn period(now: &str, unit: Unit, offset: &str) -> String {
        let Period { start, end } = Period::at(Timestamp::from_rfc3339(now).unwrap(), unit, offset.parse().unwrap());
        format!("{start} {end}").replace(":00:00.000Z", "h")
    }

    #[test]
    fn an_operator_in_china_gets_the_calendar_day_of_china() {
        let day = "2026-01-01T16h 2026-01-02T16h";
        assert_eq!(period("2026-01-01T16:00:00Z", Unit::Day, "+08:00"), day);
        assert_eq!(period("2026-01-02T15:59:59.999Z", Unit::Day, "+08:00"), day);
        assert_eq!(period("2026-01-02T16:00:00Z", Unit::Day, "+08:00"), "2026-01-02T16h 2026-01-03T16h");
    }

    #[test]
    fn a_month_ends_where_the_calendar_says() {
        for (now, expected) in [
            ("2026-01-31T23:59:59.999Z", "2026-01-01T00h 2026-02-01T00h"),
            ("2026-02-28T12:00:00Z", "2026-02-01T00h 2026-03-01T00h"),
            ("2024-02-29T12:00:00Z", "2024-02-01T00h 2024-03-01T00h"),
            ("2024-03-01T00:00:00Z", "2024-03-01T00h 2024-04-01T00h"),
            ("1900-02-28T23:59:59Z", "1900-02-01T00h 1900-03-01T00h"),
            ("2000-02-29T23:59:59Z", "2000-02-01T00h 2000-03-01T00h"),
            ("2026-04-30T23:59:59Z", "2026-04-01T00h 2026-05-01T00h"),
            ("2026-12-31T23:59:59Z", "2026-12-01T00h 2027-01-01T00h"),
            ("1969-12-31T23:59:59Z", "1969-12-01T00h 1970-01-01T00h"),
        ] {
            assert_eq!(period(now, Unit::Month, "+00:00"), expected, "{now}");
        }
    }

    #[test]
    fn an_offset_moves_an_instant_into_another_month() {
        let now = "2024-02-29T16:30:00Z";
        assert_eq!(period(now, Unit::Month, "+08:00"), "2024-02-29T16h 2024-03-31T16h");
        assert_eq!(period(now, Unit::Month, "-05:00"), "2024-02-01T05h 2024-03-01T05h");
    }

    #[test]
    fn a_week_begins_on_monday() {
        let week = "2026-01-05T00h 2026-01-12T00h";
        assert_eq!(period("2026-01-05T00:00:00Z", Unit::Week, "+00:00"), week);
        assert_eq!(period("2026-01-11T23:59:59.999Z", Unit::Week, "+00:00"), week);
        assert_eq!(period("1970-01-01T00:00:00Z", Unit::Week, "+00:00"), "1969-12-29T00h 1970-01-05T00h");
    }

    #[test]
    fn an_hour_begins_where_the_offset_says() {
        let hour = period("2026-01-01T00:10:00Z", Unit::Hour, "+05:30");
        assert_eq!(hour, "2025-12-31T23:30:00.000Z 2026-01-01T00:30:00.000Z");
    }

    #[test]
    fn an_offset_is_a_sign_hours_and_minutes() {
        for (text, minutes) in [("+00:00", 0), ("-00:00", 0), ("+08:00", 480), ("-05:30", -330), ("+14:00", 840)] {
            assert_eq!(text.parse(), Ok(UtcOffset { ms: minutes * MINUTE_MS }), "{text}");
        }
        for text in [
            "", "+", "8", "08:00", "+8:00", "+08", "+0800", "+08:60", "+14:01", "-15:00", "+08:00 ", "+0a:00", "+８:00",
        ] {
            assert!(text.parse::<UtcOffset>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_ends_of_time_do_not_wrap() {
        for now in [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX] {
            for unit in [Unit::Hour, Unit::Day, Unit::Week, Unit::Month] {
                for offset in ["+14:00", "-14:00"] {
                    let Period { start, end } = Period::at(Timestamp(now), unit, offset.parse().unwrap());
                    assert!(start <= end, "{now} {unit:?} {offset}: {start:?} to {end:?}");
                }
            }
        }
    }

    /// The same by chrono, which knows nothing of ours.
    fn model(now: i64, unit: Unit, offset_minutes: i32) -> (i64, i64) {
        let zone = FixedOffset::east_opt(offset_minutes * 60).unwrap();
        let local = DateTime::from_timestamp_millis(now).unwrap().with_timezone(&zone).naive_local();
        let date = local.date();
        let midnight = |date: NaiveDate| date.and_time(NaiveTime::MIN);
        let (start, end) = match unit {
            Unit::Hour => {
                let start = date.and_hms_opt(local.hour(), 0, 0).unwrap();
                (start, start + chrono::TimeDelta::hours(1))
            }
            Unit::Day => (midnight(date), midnight(date + Days::new(1))),
            Unit::Week => {
                let monday = date - Days::new(date.weekday().num_days_from_monday().into());
                (midnight(monday), midnight(monday + Days::new(7)))
            }
            Unit::Month => {
                let first = date.with_day(1).unwrap();
                (midnight(first), midnight(first + Months::new(1)))
            }
        };
        let instant = |local| zone.from_local_datetime(&local).unwrap().timestamp_millis();
        (instant(start), instant(end))
    }

    fn units() -> impl Strategy<Value = Unit> {
        prop_oneof![Just(Unit::Hour), Just(Unit::Day), Just(Unit::Week), Just(Unit::Month)]
    }

    /// Instants of some eight thousand years on both sides of 1970.
    fn instants() -> impl Strategy<Value = i64> {
        -250_000_000_000_000_i64..250_000_000_000_000
    }

    fn offset(minutes: i32) -> UtcOffset {
        UtcOffset { ms: i64::from(minutes) * MINUTE_MS }
    }

    proptest! {
        #[test]
        fn periods_are_those_of_another_calendar(now in instants(), unit in units(), minutes in -840..=840_i32) {
            let Period { start, end } = Period::at(Timestamp(now), unit, offset(minutes));
            prop_assert_eq!((start.0, end.0), model(now, unit, minutes));
        }

        #[test]
        fn an_instant_lies_in_its_period_and_the_next_one_follows_at_once(
            now in instants(), unit in units(), minutes in -840..=840_i32,
        ) {
            let period = Period::at(Timestamp(now), unit, offset(minutes));
            prop_assert!(period.start.0 <= now && now < period.end.0);
            prop_assert_eq!(Period::at(period.start, unit, offset(minutes)), period);
            prop_assert_eq!(Period::at(Timestamp(period.end.0 - 1), unit, offset(minutes)), period);
            prop_assert_eq!(Period::at(period.end, unit, offset(minutes)).start, period.end);
        }
    }
}
