//! Why an expression was refused, in words for the person who wrote it.

use std::fmt;

/// Why an expression was refused. The text names the field, what was found, and what to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CronError {
    /// The text is longer than any sensible expression.
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Neither five nor six fields.
    FieldCount {
        /// How many there are.
        found: usize,
    },
    /// Nothing between two commas, or at an end of the list.
    EmptyItem {
        /// Where.
        field: Field,
        /// The whole list.
        found: String,
    },
    /// Neither a number in the field's range nor one of its names.
    Value {
        /// Where.
        field: Field,
        /// The value as written.
        found: String,
    },
    /// The step is not a number from one to the size of the field.
    Step {
        /// Where.
        field: Field,
        /// The step as written.
        found: String,
    },
    /// A step after a single value, as in `5/15`: dialects disagree what it means, crontab(5) has no such thing.
    StepWithoutRange {
        /// Where.
        field: Field,
        /// The item as written.
        found: String,
        /// The range that was probably meant.
        write: String,
    },
    /// A range that ends before it begins, as in `22-6`: crontab(5) ranges do not pass the end of the field.
    Wraps {
        /// Where.
        field: Field,
        /// The range as written.
        found: String,
        /// The list that says the same.
        write: String,
    },
    /// The day of month does not occur in any of the months.
    NoSuchDate {
        /// The day of month as written.
        day_of_month: String,
        /// The month as written.
        month: String,
    },
    /// `@reboot`, which is no time.
    Reboot,
    /// An `@` word that nobody knows.
    UnknownWord {
        /// The word as written.
        found: String,
    },
    /// What follows `@every` is not a duration.
    Duration {
        /// As written; may be empty.
        found: String,
    },
    /// The duration after `@every` is below one second or above 366 days.
    DurationRange {
        /// As written.
        found: String,
    },
}

/// A field of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// 0-59, only in expressions of six fields.
    Second,
    /// 0-59.
    Minute,
    /// 0-23.
    Hour,
    /// 1-31.
    DayOfMonth,
    /// 1-12 or jan-dec.
    Month,
    /// 0-7 or sun-sat; 0 and 7 are Sunday.
    Weekday,
}

impl fmt::Display for CronError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CronError::TooLong { bytes } => {
                write!(f, "expected at most {TEXT_BYTES_MAX} bytes, found {bytes}")
            }
            CronError::FieldCount { found } => write!(f, "expected 5 fields (or 6 with seconds), found {found}"),
            CronError::EmptyItem { field, found } => write!(f, "{field}: empty item in {found}"),
            CronError::Value { field, found } => write!(f, "{field}: {found} is not in {}", field.values()),
            CronError::Step { field, found } => write!(f, "{field}: step {found} is not in 1-{}", field.size()),
            CronError::StepWithoutRange { field, found, write } => {
                write!(f, "{field}: {found} has a step without a range; write {write}")
            }
            CronError::Wraps { field, found, write } => write!(f, "{field}: range {found} wraps; write {write}"),
            CronError::NoSuchDate { day_of_month, month } => {
                write!(f, "day of month: {day_of_month} in month {month}: no such date in the next eight years")
            }
            CronError::Reboot => f.write_str(
                "@reboot is not a time and every node would have its own; write a time, or @every with a duration",
            ),
            CronError::UnknownWord { found } => write!(
                f,
                "expected @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually or @every 1h30m, found {found}"
            ),
            CronError::Duration { found } => {
                let found = if found.is_empty() { "nothing" } else { found };
                write!(f, "@every: expected a duration such as 90s, 5m, 2h or 1h30m, found {found}")
            }
            CronError::DurationRange { found } => write!(f, "@every: {found} is not in 1s-8784h"),
        }
    }
}

impl std::error::Error for CronError {}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::Second => "second",
            Field::Minute => "minute",
            Field::Hour => "hour",
            Field::DayOfMonth => "day of month",
            Field::Month => "month",
            Field::Weekday => "weekday",
        })
    }
}

impl Field {
    /// The lowest and the highest number that may be written.
    pub(super) fn bounds(self) -> (u8, u8) {
        match self {
            Field::Second | Field::Minute => (0, 59),
            Field::Hour => (0, 23),
            Field::DayOfMonth => (1, 31),
            Field::Month => (1, 12),
            Field::Weekday => (0, 7),
        }
    }

    /// The highest number that is not another name of a lower one: weekday 7 is 0.
    pub(super) fn last(self) -> u8 {
        match self {
            Field::Weekday => 6,
            _ => self.bounds().1,
        }
    }

    /// Names of values, from the lowest on.
    pub(super) fn names(self) -> &'static [&'static str] {
        match self {
            Field::Month => &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
            Field::Weekday => &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
            _ => &[],
        }
    }

    /// How many different values there are.
    pub(super) fn size(self) -> u8 {
        self.last() - self.bounds().0 + 1
    }

    /// What may be written, for people.
    fn values(self) -> String {
        let (low, high) = self.bounds();
        match self.names() {
            [first, .., last] => format!("{low}-{high} or {first}-{last}"),
            _ => format!("{low}-{high}"),
        }
    }
}

/// The longest expression: all six fields as full lists would still fit twice.
pub(super) const TEXT_BYTES_MAX: usize = 1024;
