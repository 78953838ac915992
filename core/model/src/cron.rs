//! When a schedule fires: crontab(5) expressions, read here, and the next firing after an instant, in a time zone.
//!
//! Pure functions of text, zone and time: no clock, no memory of earlier firings. The `cron` crate searches the calendar;
//! the modules below give it crontab's meaning, which it lacks by itself: `parse` the text, `next` daylight saving.
//! What is done with a nominal time that was missed is the scheduler's business.

mod count;
mod error;
mod fields;
mod jitter;
mod next;
mod parse;
mod words;

use chrono_tz::Tz;

pub use error::{CronError, Field};
pub use jitter::jitter;
use next::Calendar;
pub use words::Language;

/// An expression that was understood: when a schedule fires.
///
/// | Written | Meaning | Source |
/// |---|---|---|
/// | five fields | minute, hour, day of month, month, weekday | crontab(5) |
/// | six fields | the same with seconds first | the `cron` crate |
/// | `*`, `1,2`, `1-5`, `*/5`, `10-40/5` | all, list, range, steps; a range does not wrap | crontab(5) |
/// | `jan`…`dec`, `sun`…`sat` | in any case; weekday 0 and 7 are Sunday | crontab(5) |
/// | day of month and weekday both restricted | either is enough; a field that starts with `*` is not restricted, so `*/2` and a weekday must both hold | vixie-cron, `DOM_STAR` and `DOW_STAR` |
/// | `@hourly @daily @midnight @weekly @monthly @yearly @annually` | the five fields they stand for | crontab(5) |
/// | `@every 1h30m` | whole multiples of the duration since the unix epoch, whatever the zone | robfig/cron has the name; the anchor is ours |
///
/// Daylight saving is as vixie-cron has it (cron(8)), without its limit of three hours:
///
/// | | minute and hour are plain | minute or hour starts with `*` |
/// |---|---|---|
/// | times that a zone skips | one firing at the first instant after the gap, for all of them | no firing: the next real time comes anyway |
/// | times that a zone repeats | fired in the first pass only | fired in both passes |
///
/// The star flags of minute and hour are cronie's (`MIN_STAR`, `HR_STAR`). A step beyond the size of its field (`*/90`)
/// and a date that does not exist (30 February) are refused, where vixie-cron takes them and does something else or nothing.
///
/// Two expressions are equal when their text is; white space around it does not count.
#[derive(Clone, Debug)]
pub struct Cron {
    text: String,
    plan: Plan,
}

/// How the next firing is found.
#[derive(Clone, Debug)]
enum Plan {
    /// Every so many seconds since the unix epoch.
    Every(i64),
    Calendar(Calendar),
}

impl Cron {
    /// Read an expression.
    ///
    /// # Errors
    ///
    /// What is wrong, in which field, and what to write instead: see [`CronError`].
    pub fn parse(text: &str) -> Result<Cron, CronError> {
        let text = text.trim();
        Ok(Cron { text: text.to_owned(), plan: parse::plan(text)? })
    }

    /// The first firing strictly after `after_ms` by the clocks of `zone`; both are milliseconds since the unix epoch, UTC.
    ///
    /// `None` when there is none before the year 2101, where the calendar of the `cron` crate ends (it begins in 1970).
    /// The work is bounded by that calendar too: no day of it is looked at more than a few times, and rarely more than a
    /// few days are.
    pub fn next_after(&self, zone: Tz, after_ms: i64) -> Option<i64> {
        // Firings are whole seconds: one is after `after_ms` exactly when it is after the second that `after_ms` is in.
        let after_s = after_ms.div_euclid(MS_PER_S);
        let next_s = match &self.plan {
            Plan::Every(every_s) => after_s.div_euclid(*every_s).checked_add(1)?.checked_mul(*every_s),
            Plan::Calendar(calendar) => calendar.next_after(zone, after_s),
        };
        next_s?.checked_mul(MS_PER_S)
    }

    /// How many firings lie after `after_ms` and not after `until_ms`, by the clocks of `zone`: as many as
    /// [`next_after`](Cron::next_after) gives one by one, found by arithmetic. The work grows with the days between the
    /// two, not with the firings, and ends where the calendar does.
    pub fn count(&self, zone: Tz, after_ms: i64, until_ms: i64) -> u64 {
        let (after_s, until_s) = (after_ms.div_euclid(MS_PER_S), until_ms.div_euclid(MS_PER_S));
        if until_s <= after_s {
            return 0;
        }
        match &self.plan {
            Plan::Every(every_s) => {
                let count = until_s.div_euclid(*every_s) - after_s.div_euclid(*every_s);
                u64::try_from(count).expect("division keeps the order")
            }
            Plan::Calendar(calendar) => calendar.count(zone, after_s, until_s),
        }
    }

    /// The last firings of those, at most `most` of them, in order.
    pub fn last(&self, zone: Tz, after_ms: i64, until_ms: i64, most: usize) -> Vec<i64> {
        // The latest second from which on there are as many: halving finds it, since a later one never has more.
        let (mut early_s, mut late_s) = (after_ms.div_euclid(MS_PER_S), until_ms.div_euclid(MS_PER_S));
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        if late_s <= early_s || most == 0 {
            return Vec::new();
        }
        if self.count(zone, after_ms, until_ms) > most {
            while late_s - early_s > 1 {
                let middle_s = early_s + (late_s - early_s) / 2;
                if self.count(zone, middle_s * MS_PER_S, until_ms) >= most {
                    early_s = middle_s
                } else {
                    late_s = middle_s
                }
            }
        }
        let firings = std::iter::successors(self.next_after(zone, early_s * MS_PER_S), |at| self.next_after(zone, *at));
        firings.take_while(|at| *at <= until_ms).collect()
    }

    /// When it fires, as a person would say it: `at 09:00, Monday to Friday`, `周一至周五 09:00`. The zone is not in it.
    pub fn words(&self, language: Language) -> String {
        match &self.plan {
            Plan::Every(every_s) => words::every(*every_s, language),
            Plan::Calendar(calendar) => words::calendar(calendar.fields(), language),
        }
    }

    /// The text it was read from.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Cron) -> bool {
        self.text == other.text
    }
}

impl Eq for Cron {}

const MS_PER_S: i64 = 1000;
