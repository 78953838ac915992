//! The next firing by the clocks of a zone.
//!
//! The `cron` crate searches wall-clock times on a calendar without a zone; what a wall-clock time means where clocks jump
//! is decided here. A *gap* is skipped by the clocks, a *fold* is shown twice.

use chrono::{DateTime, LocalResult, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::{GapInfo, Tz};
use cron::Schedule;

use super::fields::Fields;

#[derive(Clone, Debug)]
pub(super) struct Calendar {
    /// One or two; a time that any of them admits is a firing.
    schedules: Vec<Schedule>,
    fields: Fields,
}

impl Calendar {
    pub(super) fn new(fields: Fields) -> Calendar {
        let Fields { second, minute, hour, day, month, weekday } = &fields;
        let time = format!("{} {} {}", second.list(0), minute.list(0), hour.list(0));
        // The crate numbers weekdays from 1 = Sunday.
        let (days, months, weekdays) = (day.list(0), month.list(0), weekday.list(1));
        let expressions = if fields.either_day() {
            // Either is enough; the crate would want both.
            vec![format!("{time} {days} {months} *"), format!("{time} * {months} {weekdays}")]
        } else {
            vec![format!("{time} {days} {months} {weekdays}")]
        };
        let schedule = |text: &String| text.parse().expect("lists of values in range are read by the cron crate");
        Calendar { schedules: expressions.iter().map(schedule).collect(), fields }
    }

    pub(super) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// There is no such date. Decided over a hundred years: even 29 February on a given weekday comes in 28.
    pub(super) fn is_empty(&self) -> bool {
        self.next_wall(NaiveDate::from_ymd_opt(2000, 1, 1).expect("a date").into()).is_none()
    }

    /// Seconds since the unix epoch, both.
    pub(super) fn next_after(&self, zone: Tz, after_s: i64) -> Option<i64> {
        if after_s > CALENDAR_END_S {
            return None;
        }
        let after = DateTime::from_timestamp(after_s.max(CALENDAR_BEGIN_S), 0)?.with_timezone(&zone);
        let next = if self.fields.is_wildcard() { self.next_wildcard(&after) } else { self.next_fixed(&after) }?;
        assert!(next > after, "a firing comes after the instant it was asked for");
        Some(next.timestamp())
    }

    /// Each wall-clock time once, at the first instant when the clocks show it or are past it.
    fn next_fixed(&self, after: &DateTime<Tz>) -> Option<DateTime<Tz>> {
        let zone = after.timezone();
        let wall = self.next_wall(latest_shown(after))?;
        match zone.from_local_datetime(&wall) {
            LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => Some(instant),
            LocalResult::None => Some(gap_end(zone, wall)),
        }
    }

    /// Each instant at which the clocks show a wall-clock time.
    fn next_wildcard(&self, after: &DateTime<Tz>) -> Option<DateTime<Tz>> {
        let ahead = self.next_shown(after, after.naive_local());
        // In the first pass of a fold the clocks are about to go back, to times that are not ahead by the clock.
        let again = Fold::at(after)
            .filter(|fold| *after < fold.turn)
            .and_then(|fold| self.next_shown(&(fold.turn - SECOND), fold.begin - SECOND));
        ahead.into_iter().chain(again).min()
    }

    /// The first instant after `after` at which the clocks show a wall-clock time later than `shown`.
    fn next_shown(&self, after: &DateTime<Tz>, mut shown: NaiveDateTime) -> Option<DateTime<Tz>> {
        let zone = after.timezone();
        for _ in 0..GAPS_MAX {
            let wall = self.next_wall(shown)?;
            match zone.from_local_datetime(&wall) {
                LocalResult::Single(instant) => return Some(instant),
                LocalResult::Ambiguous(first, second) => {
                    return Some(if first > *after { first } else { second });
                }
                LocalResult::None => shown = gap_end(zone, wall).naive_local() - SECOND,
            }
        }
        None
    }

    fn next_wall(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        // UTC has neither gaps nor folds: as a carrier of wall-clock times it is a calendar without a zone.
        let after = after.and_utc();
        let next = self.schedules.iter().filter_map(|schedule| schedule.after(&after).next()).min();
        next.map(|wall| wall.naive_utc())
    }
}

/// The latest that the clocks have shown: in the second pass of a fold that is the end of the first.
pub(super) fn latest_shown(at: &DateTime<Tz>) -> NaiveDateTime {
    match Fold::at(at) {
        Some(fold) if fold.turn <= *at => fold.end - SECOND,
        _ => at.naive_local(),
    }
}

/// The wall-clock times from `begin` to before `end` are shown twice: the clocks reach `end` at `turn` and show `begin`.
struct Fold {
    turn: DateTime<Tz>,
    begin: NaiveDateTime,
    end: NaiveDateTime,
}

impl Fold {
    /// The fold that the clocks are in, in either pass.
    fn at(instant: &DateTime<Tz>) -> Option<Fold> {
        let zone = instant.timezone();
        let LocalResult::Ambiguous(first, second) = zone.from_local_datetime(&instant.naive_local()) else {
            return None;
        };
        // The offset changed once between the passes; halve until the second is found.
        let (mut before_s, mut turn_s) = (first.timestamp(), second.timestamp());
        let at = |s: i64| DateTime::from_timestamp(s, 0).expect("between two instants").with_timezone(&zone);
        while turn_s - before_s > 1 {
            let middle_s = before_s + (turn_s - before_s) / 2;
            if at(middle_s).offset().fix() == first.offset().fix() {
                before_s = middle_s;
            } else {
                turn_s = middle_s;
            }
        }
        let turn = at(turn_s);
        Some(Fold { turn, begin: turn.naive_local(), end: at(before_s).naive_local() + SECOND })
    }
}

/// The first instant after the gap that `wall` falls in.
fn gap_end(zone: Tz, wall: NaiveDateTime) -> DateTime<Tz> {
    // `GapInfo` knows the last offset before the gap; by it the gap begins at the instant at which it ends.
    let (begin, offset) = GapInfo::new(&wall, &zone)
        .and_then(|gap| gap.begin)
        .expect("a wall-clock time that no instant shows is in a gap, and a gap follows a span");
    (begin - offset.fix()).and_utc().with_timezone(&zone)
}

pub(super) const SECOND: TimeDelta = TimeDelta::seconds(1);

/// Where the calendar of the `cron` crate begins (1970) and ends (with 2100), with two days for the offsets of zones.
pub(super) const CALENDAR_BEGIN_S: i64 = -2 * 86_400;
pub(super) const CALENDAR_END_S: i64 = 4_133_980_800 + 2 * 86_400;

/// More gaps than any zone has in the 131 years of the calendar (one a year as a rule, rarely two): how many a search for
/// one wildcard firing may fall into before it gives up.
const GAPS_MAX: usize = 300;
