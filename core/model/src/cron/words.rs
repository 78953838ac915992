//! An expression as a person would say it, in English and in Chinese.
//!
//! The common shapes have a sentence of their own; what has none is told field by field. The words follow the values that
//! a field admits, not how it was written: `1-5` and `mon,tue,wed,thu,fri` read the same.

use super::fields::{Fields, Values};

/// In whose words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Chinese, in simplified characters.
    Chinese,
}

use Language::{Chinese, English};

/// `@every` so many seconds.
pub(super) fn every(every_s: i64, language: Language) -> String {
    let (hours, minutes, seconds) = (every_s / 3600, every_s / 60 % 60, every_s % 60);
    let units = match language {
        English => [(hours, "hour"), (minutes, "minute"), (seconds, "second")],
        Chinese => [(hours, "小时"), (minutes, "分钟"), (seconds, "秒")],
    };
    let parts: Vec<String> = units
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| match (language, count) {
            (English, 1) => format!("1 {unit}"),
            (English, count) => format!("{count} {unit}s"),
            (Chinese, count) => format!("{count} {unit}"),
        })
        .collect();
    match (language, parts.as_slice()) {
        (English, [one]) => format!("every {}", one.strip_prefix("1 ").unwrap_or(one)),
        (English, parts) => format!("every {}", parts.join(" ")),
        (Chinese, parts) => format!("每 {}", parts.join(" ")),
    }
}

/// An expression of five or six fields.
pub(super) fn calendar(fields: &Fields, language: Language) -> String {
    let (time, is_clock) = time(fields, language);
    match (language, date(fields, language)) {
        (English, None) if is_clock => format!("{time} every day"),
        (Chinese, None) if is_clock => format!("每天 {time}"),
        (_, None) => time,
        (English, Some(date)) => format!("{time}{date}"),
        (Chinese, Some(date)) => format!("{date} {time}"),
    }
}

/// Times of a day that are named one by one at most.
const CLOCK_TIMES_MAX: usize = 6;

/// When in a day, and whether these are times that a clock shows.
fn time(fields: &Fields, language: Language) -> (String, bool) {
    let Fields { second, minute, hour, .. } = fields;
    let (seconds, minutes, hours): (Vec<u8>, Vec<u8>, Vec<u8>) =
        (second.iter().collect(), minute.iter().collect(), hour.iter().collect());
    if let [second] = seconds.as_slice() {
        if let Some(time) = on_the_minute(&minutes, &hours, hour, language) {
            return (with_second(*second, &time, language), false);
        }
        if minutes.len() * hours.len() <= CLOCK_TIMES_MAX {
            let clock = |hour: &u8, minute: &u8| match second {
                0 => format!("{hour:02}:{minute:02}"),
                second => format!("{hour:02}:{minute:02}:{second:02}"),
            };
            let times = hours.iter().flat_map(|hour| minutes.iter().map(move |minute| clock(hour, minute)));
            let times = listed(times.collect(), language);
            return (if language == English { format!("at {times}") } else { times }, true);
        }
        if let Some(time) = in_some_hours(&minutes, &hours, minute, language) {
            return (with_second(*second, &time, language), false);
        }
    } else if minute.is_all()
        && hour.is_all()
        && let Some(step) = step(&seconds, 60)
    {
        return (paced(step, ("second", "秒"), language), false);
    }
    (by_field(second, minute, hour, language), false)
}

/// What has no hours of its own: every so many minutes or hours.
fn on_the_minute(minutes: &[u8], hours: &[u8], hour: &Values, language: Language) -> Option<String> {
    if hour.is_all()
        && let Some(step) = step(minutes, 60)
    {
        return Some(paced(step, ("minute", "分钟"), language));
    }
    let [at] = minutes else { return None };
    let pace = step(hours, 24).filter(|pace| *pace == 1 || hour.star)?;
    let hours = paced(pace, ("hour", "小时"), language);
    Some(match (language, at) {
        (_, 0) => hours,
        (English, at) => format!("{hours} at minute {at}"),
        (Chinese, at) => format!("{hours}第 {at} 分"),
    })
}

/// Every minute or every so many of them, or once an hour, from one hour to another.
fn in_some_hours(minutes: &[u8], hours: &[u8], minute: &Values, language: Language) -> Option<String> {
    let (first, last) = (*hours.first()?, *hours.last()?);
    if usize::from(last - first) + 1 != hours.len() {
        return None;
    }
    let (pace, from, to) = match minutes {
        [at] => (paced(1, ("hour", "小时"), language), *at, *at),
        _ => {
            let to = if minute.is_all() { 59 } else { *minutes.last()? };
            (paced(step(minutes, 60)?, ("minute", "分钟"), language), minutes[0], to)
        }
    };
    let (from, to) = (format!("{first:02}:{from:02}"), format!("{last:02}:{to:02}"));
    Some(match language {
        English => format!("{pace} from {from} to {to}"),
        Chinese => format!("{from} 至 {to} {pace}"),
    })
}

fn with_second(second: u8, time: &str, language: Language) -> String {
    match (language, second) {
        (_, 0) => time.to_owned(),
        (English, second) => format!("{time}, at second {second}"),
        (Chinese, second) => format!("{time}(第 {second} 秒)"),
    }
}

fn paced(step: u8, (english, chinese): (&str, &str), language: Language) -> String {
    match (language, step) {
        (English, 1) => format!("every {english}"),
        (English, step) => format!("every {step} {english}s"),
        (Chinese, 1) => format!("每{chinese}"),
        (Chinese, step) => format!("每 {step} {chinese}"),
    }
}

fn by_field(second: &Values, minute: &Values, hour: &Values, language: Language) -> String {
    let mut parts = Vec::new();
    for (values, english, chinese) in [(second, "second", "秒"), (minute, "minute", "分"), (hour, "hour", "时")] {
        let numbers: Vec<u8> = values.iter().collect();
        if english == "second" && numbers == [0] {
            continue;
        }
        let plural = if numbers.len() == 1 { "" } else { "s" };
        parts.push(match (language, values.is_all()) {
            (English, true) => format!("every {english}"),
            (English, false) => format!("{english}{plural} {}", numbered(&numbers, language)),
            (Chinese, true) => format!("每{chinese}"),
            (Chinese, false) => format!("第 {} {chinese}", numbered(&numbers, language)),
        });
    }
    match language {
        English => format!("at {}", parts.join(" of ")),
        Chinese => {
            parts.reverse();
            parts.join("")
        }
    }
}

/// On which days; `None` on every one.
fn date(fields: &Fields, language: Language) -> Option<String> {
    let Fields { day, month, weekday, .. } = fields;
    let all_days =
        if fields.either_day() { day.is_all() || weekday.is_all() } else { day.is_all() && weekday.is_all() };
    let (by_day, by_weekday) = match (all_days, day.is_all(), weekday.is_all()) {
        (true, ..) => (None, None),
        (false, true, _) => (None, Some(weekdays(weekday, language))),
        (false, _, true) => (Some(days(fields, language)), None),
        _ => (Some(days(fields, language)), Some(weekdays(weekday, language))),
    };
    let in_months = (!month.is_all()).then(|| months(month, language));
    let joined = match (language, by_day, by_weekday) {
        (English, None, None) => return in_months.map(|months| format!(", in {months}")),
        (Chinese, None, None) => return in_months.map(|months| format!("{months}每天")),
        // The months stand with the days already.
        (English, Some(day), None) => return Some(format!(" {day}")),
        (Chinese, Some(day), None) => return Some(day),
        (English, None, Some(weekday)) => match run(&monday_first(fields)) {
            Some(_) => format!(", {weekday}"),
            None => format!(" on {weekday}"),
        },
        (Chinese, None, Some(weekday)) => {
            return Some(format!("{}{weekday}", in_months.map_or(String::new(), |months| format!("{months}的"))));
        }
        (English, Some(day), Some(weekday)) if fields.either_day() => return Some(format!(" {day} or on {weekday}")),
        (English, Some(day), Some(weekday)) => return Some(format!(" {day} if that is {weekday}")),
        (Chinese, Some(day), Some(weekday)) if fields.either_day() => return Some(format!("{day}或{weekday}")),
        (Chinese, Some(day), Some(weekday)) => return Some(format!("{day}且为{weekday}")),
    };
    Some(joined + &in_months.map_or(String::new(), |months| format!(", in {months}")))
}

/// Days of the month, with the months they are of.
fn days(fields: &Fields, language: Language) -> String {
    let numbers: Vec<u8> = fields.day.iter().collect();
    let named = numbered(&numbers, language);
    let months = (!fields.month.is_all()).then(|| months(&fields.month, language));
    match (language, numbers.as_slice(), months) {
        (English, [day], Some(month)) if fields.month.count() == 1 => format!("on {day} {month}"),
        (English, [_], None) => format!("on day {named} of the month"),
        (English, [_], Some(months)) => format!("on day {named} of {months}"),
        (English, _, None) => format!("on days {named} of the month"),
        (English, _, Some(months)) => format!("on days {named} of {months}"),
        (Chinese, _, None) => format!("每月 {named} 日"),
        (Chinese, _, Some(months)) => format!("每年 {months} {named} 日"),
    }
}

const WEEKDAYS: [(&str, &str); 7] = [
    ("Monday", "周一"),
    ("Tuesday", "周二"),
    ("Wednesday", "周三"),
    ("Thursday", "周四"),
    ("Friday", "周五"),
    ("Saturday", "周六"),
    ("Sunday", "周日"),
];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The weekdays as places in a week that begins with Monday.
fn monday_first(fields: &Fields) -> Vec<u8> {
    (0..7).filter(|place| fields.weekday.has(u32::from((place + 1) % 7))).collect()
}

fn weekdays(weekday: &Values, language: Language) -> String {
    let places: Vec<u8> = (0..7).filter(|place| weekday.has(u32::from((place + 1) % 7))).collect();
    let name = |place: u8| match (language, WEEKDAYS[usize::from(place)]) {
        (English, (name, _)) => name.to_owned(),
        (Chinese, (_, name)) => name.to_owned(),
    };
    runs_named(&places, name, language)
}

fn months(month: &Values, language: Language) -> String {
    let name = |number: u8| match language {
        English => MONTHS[usize::from(number - 1)].to_owned(),
        Chinese => format!("{number} 月"),
    };
    runs_named(&month.iter().collect::<Vec<_>>(), name, language)
}

fn numbered(numbers: &[u8], language: Language) -> String {
    runs_named(numbers, |number| number.to_string(), language)
}

/// Values by their names, with three or more in a row as a range.
fn runs_named(values: &[u8], name: impl Fn(u8) -> String, language: Language) -> String {
    let mut parts = Vec::new();
    for run in values.chunk_by(|one, next| next - one == 1) {
        match run {
            [first, .., last] if run.len() > 2 => parts.push(match language {
                English => format!("{} to {}", name(*first), name(*last)),
                Chinese => format!("{}至{}", name(*first), name(*last)),
            }),
            few => parts.extend(few.iter().map(|value| name(*value))),
        }
    }
    listed(parts, language)
}

/// `a`, `a and b`, `a, b and c`.
fn listed(mut parts: Vec<String>, language: Language) -> String {
    let (comma, and) = match language {
        English => (", ", " and "),
        Chinese => ("、", "、"),
    };
    let Some(last) = parts.pop() else { return String::new() };
    if parts.is_empty() { last } else { format!("{}{and}{last}", parts.join(comma)) }
}

/// The first and the last of three or more in a row.
fn run(values: &[u8]) -> Option<(u8, u8)> {
    match values {
        [first, .., last] if values.len() > 2 && usize::from(last - first) == values.len() - 1 => Some((*first, *last)),
        _ => None,
    }
}

/// How far apart the values are, if that is the same all around a dial of so many, beginning with 0.
fn step(values: &[u8], dial: u8) -> Option<u8> {
    let step = match values {
        [0, second, ..] => *second,
        _ => return None,
    };
    let around = dial.is_multiple_of(step) && values.len() == usize::from(dial / step);
    (around && values.iter().zip(0_u8..).all(|(value, place)| *value == place * step)).then_some(step)
}
