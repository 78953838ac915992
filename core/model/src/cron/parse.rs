//! The text of an expression: from words and fields to a plan. What the words mean is in the docs of [`Cron`](super::Cron).

use super::error::TEXT_BYTES_MAX;
use super::fields::{Fields, Values};
use super::{Calendar, CronError, Field, Plan};

pub(super) fn plan(text: &str) -> Result<Plan, CronError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(CronError::TooLong { bytes: text.len() });
    }
    if !text.starts_with('@') {
        return calendar(text).map(Plan::Calendar);
    }
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    match (word.to_ascii_lowercase().as_str(), rest.trim()) {
        ("@every", duration) => every(duration).map(Plan::Every),
        ("@hourly", "") => calendar("0 * * * *").map(Plan::Calendar),
        ("@daily" | "@midnight", "") => calendar("0 0 * * *").map(Plan::Calendar),
        ("@weekly", "") => calendar("0 0 * * 0").map(Plan::Calendar),
        ("@monthly", "") => calendar("0 0 1 * *").map(Plan::Calendar),
        ("@yearly" | "@annually", "") => calendar("0 0 1 1 *").map(Plan::Calendar),
        ("@reboot", _) => Err(CronError::Reboot),
        _ => Err(CronError::UnknownWord { found: text.to_owned() }),
    }
}

/// Seconds of a duration such as `1h30m`: hours, minutes, seconds, each at most once and in this order.
fn every(text: &str) -> Result<i64, CronError> {
    let unreadable = || CronError::Duration { found: text.to_owned() };
    let out_of_range = || CronError::DurationRange { found: text.to_owned() };
    if text.is_empty() {
        return Err(unreadable());
    }
    let mut rest = text;
    let mut every_s: i64 = 0;
    for (unit, unit_s) in [('h', 3600), ('m', 60), ('s', 1)] {
        let Some((count, tail)) = rest.split_once(unit) else {
            continue;
        };
        if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(unreadable());
        }
        // All digits: a failure to read them is a number beyond any duration that is accepted.
        let count: u32 = count.parse().map_err(|_| out_of_range())?;
        every_s += i64::from(count) * unit_s;
        rest = tail;
    }
    if !rest.is_empty() {
        return Err(unreadable());
    }
    if !(1..=EVERY_S_MAX).contains(&every_s) {
        return Err(out_of_range());
    }
    Ok(every_s)
}

fn calendar(text: &str) -> Result<Calendar, CronError> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let (second, rest) = match fields.as_slice() {
        [second, rest @ ..] if rest.len() == 5 => (*second, rest),
        rest => ("0", rest),
    };
    let &[minute, hour, day_of_month, month, weekday] = rest else {
        return Err(CronError::FieldCount { found: fields.len() });
    };
    let fields = Fields {
        second: Values::parse(Field::Second, second)?,
        minute: Values::parse(Field::Minute, minute)?,
        hour: Values::parse(Field::Hour, hour)?,
        day: Values::parse(Field::DayOfMonth, day_of_month)?,
        month: Values::parse(Field::Month, month)?,
        weekday: Values::parse(Field::Weekday, weekday)?,
    };
    let calendar = Calendar::new(fields);
    if calendar.is_empty() {
        return Err(CronError::NoSuchDate { day_of_month: day_of_month.to_owned(), month: month.to_owned() });
    }
    Ok(calendar)
}

/// The values of one item of a list: `*`, `a`, `a-b`, `*/step` or `a-b/step`.
pub(super) fn range(field: Field, item: &str) -> Result<impl Iterator<Item = u8> + use<>, CronError> {
    let (range, step) = match item.split_once('/') {
        Some((range, step)) => (range, Some(self::step(field, item, step)?)),
        None => (item, None),
    };
    let (first, last) = match range.split_once('-') {
        _ if range == "*" => field.bounds(),
        Some((first, last)) => (value(field, item, first)?, value(field, item, last)?),
        None => {
            let single = value(field, item, range)?;
            if let Some(step) = step {
                let from = if single > field.last() { 0 } else { single };
                let write = format!("{from}-{}/{step}", field.last());
                return Err(CronError::StepWithoutRange { field, found: item.to_owned(), write });
            }
            (single, single)
        }
    };
    let step = step.unwrap_or(1);
    if first > last {
        let write = unwrapped(field, first, last, step);
        return Err(CronError::Wraps { field, found: item.to_owned(), write });
    }
    Ok((first..=last).step_by(usize::from(step)))
}

/// `item` is what to show when there is nothing to read.
fn value(field: Field, item: &str, text: &str) -> Result<u8, CronError> {
    let (low, high) = field.bounds();
    let named = (low..=high).zip(field.names()).find(|(_, name)| name.eq_ignore_ascii_case(text));
    let value = named.map(|(value, _)| value).or_else(|| number(text));
    let value = value.filter(|value| (low..=high).contains(value));
    value.ok_or_else(|| CronError::Value { field, found: if text.is_empty() { item } else { text }.to_owned() })
}

fn step(field: Field, item: &str, text: &str) -> Result<u8, CronError> {
    let step = number(text).filter(|step| (1..=field.size()).contains(step));
    step.ok_or_else(|| CronError::Step { field, found: if text.is_empty() { item } else { text }.to_owned() })
}

/// Digits only: `u8::from_str` would take a sign too.
fn number(text: &str) -> Option<u8> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// The items that say what a wrapping range meant: `22-6` is `22-23,0-6`, and `5-0` of weekdays is `5-7`.
fn unwrapped(field: Field, first: u8, last: u8, step: u8) -> String {
    let (low, high) = field.bounds();
    let end = field.last();
    match (field, first, last) {
        (Field::Weekday, _, 0) => return ascending(first, high, step),
        (Field::Weekday, 7, _) => return ascending(low, last, step),
        _ => {}
    }
    let head = ascending(first, end, step);
    // Where the steps land after passing the end.
    let past_end = low + step - 1 - (end - first) % step;
    if past_end > last { head } else { format!("{head},{}", ascending(past_end, last, step)) }
}

fn ascending(first: u8, last: u8, step: u8) -> String {
    match (last - first < step, step) {
        (true, _) => first.to_string(),
        (false, 1) => format!("{first}-{last}"),
        (false, _) => format!("{first}-{last}/{step}"),
    }
}

/// The longest `@every`: 366 days. What is rarer has a date, and wants the calendar.
const EVERY_S_MAX: i64 = 366 * 24 * 3600;
