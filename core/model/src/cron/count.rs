//! How many firings lie in a stretch of time, without looking at each: what a long outage left is counted by the day.
//!
//! Between two changes of a zone's offset its clocks run like any clock, and the wall-clock times of a day that match are a
//! product. Only where the offset changes is there something to decide, and it is decided as `next` does.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike};
use chrono_tz::Tz;

use super::fields::Fields;
use super::next::{CALENDAR_BEGIN_S, CALENDAR_END_S, Calendar, SECOND, latest_shown};

impl Calendar {
    /// After the one and not after the other; seconds since the unix epoch, both.
    pub(super) fn count(&self, zone: Tz, after_s: i64, until_s: i64) -> u64 {
        let (after_s, until_s) = (after_s.max(CALENDAR_BEGIN_S), until_s.min(CALENDAR_END_S));
        let Some(after) = DateTime::from_timestamp(after_s, 0) else { return 0 };
        let fields = self.fields();
        let mut shown = latest_shown(&after.with_timezone(&zone));
        let mut count = 0;
        for (begin_s, end_s) in spans(zone, after_s + 1, until_s) {
            let offset = TimeDelta::seconds(offset_s(zone, begin_s));
            let (Some(begin), Some(end)) = (wall(begin_s, offset), wall(end_s, offset)) else { return count };
            if fields.is_wildcard() {
                count += fields.count(begin - SECOND, end);
            } else if shown < begin {
                // What the clocks passed over comes with the first instant after it, once.
                count += fields.count(shown, begin).min(1) + fields.count(begin, end);
            } else {
                count += fields.count(shown, end);
            }
            shown = shown.max(end);
        }
        count
    }
}

impl Fields {
    /// The wall-clock times that match, after the one and not after the other.
    fn count(&self, after: NaiveDateTime, until: NaiveDateTime) -> u64 {
        if until <= after {
            return 0;
        }
        let whole_day = u64::from(self.hour.count() * self.minute.count() * self.second.count());
        let (first, last) = (after.date(), until.date());
        let days = first.iter_days().take_while(|day| *day <= last).filter(|day| self.has_date(*day));
        days.map(|day| {
            let end = if day == last { self.times_to(until) } else { whole_day };
            let begin = if day == first { self.times_to(after) } else { 0 };
            end - begin
        })
        .sum()
    }

    fn has_date(&self, date: NaiveDate) -> bool {
        let day = self.day.has(date.day());
        let weekday = self.weekday.has(date.weekday().num_days_from_sunday());
        let is_there = CALENDAR_YEARS.contains(&date.year());
        is_there && self.month.has(date.month()) && if self.either_day() { day || weekday } else { day && weekday }
    }

    /// The times of a day that match, up to this one and with it.
    fn times_to(&self, time: NaiveDateTime) -> u64 {
        let before = |count_to: u32, is_in: bool| count_to - u32::from(is_in);
        let (hour, minute) = (self.hour.has(time.hour()), self.minute.has(time.minute()));
        let hours = before(self.hour.count_to(time.hour()), hour);
        let minutes = before(self.minute.count_to(time.minute()), minute);
        let mut count = hours * self.minute.count() * self.second.count();
        if hour {
            count += minutes * self.second.count();
            if minute {
                count += self.second.count_to(time.second());
            }
        }
        u64::from(count)
    }
}

fn wall(at_s: i64, offset: TimeDelta) -> Option<NaiveDateTime> {
    Some(DateTime::from_timestamp(at_s, 0)?.naive_utc() + offset)
}

/// Seconds ahead of UTC.
fn offset_s(zone: Tz, at_s: i64) -> i64 {
    let at = DateTime::from_timestamp(at_s, 0).expect("within the calendar").naive_utc();
    zone.offset_from_utc_datetime(&at).fix().local_minus_utc().into()
}

/// The stretch from the one second to the other, cut where the zone's offset changes: the first and the last second of
/// each piece.
fn spans(zone: Tz, first_s: i64, last_s: i64) -> impl Iterator<Item = (i64, i64)> {
    let mut begin_s = first_s;
    std::iter::from_fn(move || {
        if begin_s > last_s {
            return None;
        }
        let offset = offset_s(zone, begin_s);
        let mut same_s = begin_s;
        let end_s = loop {
            let ahead_s = (same_s + STRIDE_S).min(last_s);
            if offset_s(zone, ahead_s) != offset {
                // It changes within this stride: halve until the second is found.
                let mut changed_s = ahead_s;
                while changed_s - same_s > 1 {
                    let middle_s = same_s + (changed_s - same_s) / 2;
                    if offset_s(zone, middle_s) == offset { same_s = middle_s } else { changed_s = middle_s }
                }
                break same_s;
            }
            same_s = ahead_s;
            if same_s == last_s {
                break last_s;
            }
        };
        let span = (begin_s, end_s);
        begin_s = end_s + 1;
        Some(span)
    })
}

/// The calendar of the `cron` crate.
const CALENDAR_YEARS: std::ops::RangeInclusive<i32> = 1970..=2100;

/// How far apart offsets are looked at. No zone ever changed its offset and changed it back within a day.
const STRIDE_S: i64 = 12 * 3600;
