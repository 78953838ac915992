//! Reading TOML with a finger on every value, so that each mistake is reported with file, line and column, all of them
//! at once, and with the nearest right name.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use tidings_model::Timestamp;
use tidings_model::spelling::nearest;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::refusal::Refusal;

/// A mistake in config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// Where in the config: `channels.order-updates.rate`; empty for the file as a whole.
    pub path: String,
    /// What was found and what was expected.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// The text of a config file and the mistakes found in it so far.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    file: &'a str,
    text: &'a str,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str) -> Source<'a> {
        Source { file, text, problems: RefCell::default() }
    }

    pub(crate) fn report(&self, span: &Range<usize>, path: &str, message: impl Into<String>) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        self.problems.borrow_mut().push(Problem {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            path: path.to_owned(),
            message: message.into(),
        });
    }

    /// The mistakes, in the order of the file.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| (problem.line, problem.column));
        // Two stages of one app may find the same mistake in it.
        let mut told = HashSet::new();
        problems.retain(|problem| told.insert((problem.line, problem.column, problem.message.clone())));
        problems
    }
}

/// A table of the config. Each key that is asked for is known; what is left at the end is a mistake.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    source: &'a Source<'a>,
    table: &'a DeTable<'a>,
    path: String,
    span: Range<usize>,
    known: RefCell<Vec<&'a str>>,
    missing: RefCell<Vec<(String, String)>>,
}

/// A value with its place.
#[derive(Debug, Clone)]
pub(crate) struct Found<'a> {
    pub(crate) value: &'a DeValue<'a>,
    pub(crate) span: Range<usize>,
    pub(crate) path: String,
}

impl<'a> Section<'a> {
    pub(crate) fn root(source: &'a Source<'a>, table: &'a Spanned<DeTable<'a>>) -> Section<'a> {
        Section {
            source,
            table: table.get_ref(),
            path: String::new(),
            span: table.span().start..table.span().start,
            known: RefCell::default(),
            missing: RefCell::default(),
        }
    }

    pub(crate) fn span(&self) -> &Range<usize> {
        &self.span
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn report(&self, span: &Range<usize>, path: &str, message: impl Into<String>) {
        self.source.report(span, path, message);
    }

    fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of `key`, which is known from now on.
    pub(crate) fn find(&self, key: &'a str) -> Option<Found<'a>> {
        self.known.borrow_mut().push(key);
        let value = self.table.get(key)?;
        Some(Found { value: value.get_ref(), span: value.span(), path: self.at(key) })
    }

    /// Notes that `key` is not there. It is reported at the end, unless a misspelt key explains it.
    pub(crate) fn missing(&self, key: &str, expected: &str) {
        let message = format!("`{key}` is missing; expected {expected}");
        self.missing.borrow_mut().push((key.to_owned(), message));
    }

    /// Reads `key` with `read`, which says what it expected if it cannot.
    pub(crate) fn parsed<T>(&self, key: &'a str, read: impl FnOnce(&DeValue<'a>) -> Result<T, String>) -> Option<T> {
        let found = self.find(key)?;
        match read(found.value) {
            Ok(value) => Some(value),
            Err(message) => {
                self.source.report(&found.span, &found.path, message);
                None
            }
        }
    }

    pub(crate) fn text(&self, key: &'a str) -> Option<String> {
        self.parsed(key, text)
    }

    pub(crate) fn duration(&self, key: &'a str) -> Option<Duration> {
        self.parsed(key, |value| text(value).and_then(|text| duration(&text)))
    }

    /// A duration from the one to the other.
    pub(crate) fn duration_within(&self, key: &'a str, range: std::ops::RangeInclusive<Duration>) -> Option<Duration> {
        self.parsed(key, |value| {
            let found = text(value).and_then(|text| duration(&text))?;
            let expected = || format!("expected from {} s to {} s", range.start().as_secs(), range.end().as_secs());
            if range.contains(&found) { Ok(found) } else { Err(expected()) }
        })
    }

    /// A whole number within `range`.
    pub(crate) fn number(&self, key: &'a str, range: std::ops::RangeInclusive<u32>) -> Option<u32> {
        self.parsed(key, |value| {
            let expected = || format!("expected a whole number from {} to {}", range.start(), range.end());
            let digits = value.as_integer().ok_or_else(expected)?;
            let number = u32::from_str_radix(digits.as_str(), digits.radix()).map_err(|_| expected())?;
            if range.contains(&number) { Ok(number) } else { Err(expected()) }
        })
    }

    /// Whether `key` is true; false if it is not there.
    pub(crate) fn flag(&self, key: &'a str) -> bool {
        self.parsed(key, |value| value.as_bool().ok_or_else(|| "expected true or false".to_owned())).unwrap_or(false)
    }

    /// One of `words`.
    pub(crate) fn choice(&self, key: &'a str, words: &[&'static str]) -> Option<&'static str> {
        self.parsed(key, |value| {
            let text = text(value)?;
            words.iter().find(|word| **word == text).copied().ok_or_else(|| one_of(&text, words))
        })
    }

    /// The table at `key`.
    pub(crate) fn section(&self, key: &'a str) -> Option<Section<'a>> {
        let found = self.find(key)?;
        self.as_section(&found)
    }

    pub(crate) fn as_section(&self, found: &Found<'a>) -> Option<Section<'a>> {
        let Some(table) = found.value.as_table() else {
            self.source.report(&found.span, &found.path, format!("expected a table, found {}", kind(found.value)));
            return None;
        };
        Some(Section {
            source: self.source,
            table,
            path: found.path.clone(),
            span: found.span.clone(),
            known: RefCell::default(),
            missing: RefCell::default(),
        })
    }

    /// The tables under `key`, each with its name and the place of the name.
    pub(crate) fn named(&self, key: &'a str) -> Vec<(&'a str, Range<usize>, Section<'a>)> {
        let Some(group) = self.section(key) else { return Vec::new() };
        let mut named = Vec::new();
        for (name, value) in group.table {
            let path = group.at(name.get_ref());
            let found = Found { value: value.get_ref(), span: name.span(), path };
            if let Some(section) = group.as_section(&found) {
                named.push((&**name.get_ref(), name.span(), section));
            }
        }
        named
    }

    /// Every key and value, all of them known from now on.
    pub(crate) fn entries(&self) -> Vec<(&'a str, Found<'a>)> {
        self.table
            .iter()
            .map(|(key, value)| {
                let name: &'a str = key.get_ref();
                self.known.borrow_mut().push(name);
                (name, Found { value: value.get_ref(), span: value.span(), path: self.at(name) })
            })
            .collect()
    }

    /// Reports what is wrong with the value of a name that somebody else gives, `headers.x-a` as well as `headers`: at the
    /// value, or as near to it as there is something. What of the name is not there stands in the message.
    pub(crate) fn report_at(&self, name: &str, problem: &str) {
        let (mut table, mut span, mut path, mut left) = (Some(self.table), self.span.clone(), self.path.clone(), name);
        while let Some(inner) = table {
            // A key may have a dot in it: the longest is tried first.
            let ends = left.match_indices('.').map(|(end, _)| end).chain([left.len()]);
            let Some((key, value)) = ends.rev().find_map(|end| Some((&left[..end], inner.get(&left[..end])?))) else {
                break;
            };
            (span, path) = (value.span(), format!("{path}.{key}"));
            (table, left) = (value.get_ref().as_table(), left[key.len()..].trim_start_matches('.'));
        }
        let message = if left.is_empty() { problem.to_owned() } else { format!("`{left}` {problem}") };
        self.source.report(&span, &path, message);
    }

    /// Reports every key that nobody asked for, and every one that is missing: a misspelt key is one mistake, not two.
    pub(crate) fn finish(self) {
        let known = self.known.borrow();
        let mut missing = self.missing.take();
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            let message = match nearest(name, &known) {
                Some(right) => {
                    missing.retain(|(key, _)| key != right);
                    format!("unknown key `{name}`; did you mean `{right}`?")
                }
                None => format!("unknown key `{name}`; known here: {}", list(&known)),
            };
            self.source.report(&key.span(), &self.path, message);
        }
        for (_, message) in missing {
            self.source.report(&self.span, &self.path, message);
        }
    }
}

/// The string a value is.
pub(crate) fn text(value: &DeValue<'_>) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| format!("expected a string, found {}", kind(value)))
}

pub(crate) fn texts(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let items = value.as_array().ok_or_else(|| format!("expected a list of strings, found {}", kind(value)))?;
    items.iter().map(|item| text(item.get_ref())).collect()
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// A value as JSON, for data and samples.
pub(crate) fn json(value: &DeValue<'_>) -> serde_json::Value {
    match value {
        DeValue::String(text) => serde_json::Value::from(text.as_ref()),
        DeValue::Integer(digits) => {
            i64::from_str_radix(digits.as_str(), digits.radix()).map_or(serde_json::Value::Null, Into::into)
        }
        DeValue::Float(digits) => digits.as_str().parse::<f64>().map_or(serde_json::Value::Null, Into::into),
        DeValue::Boolean(truth) => serde_json::Value::from(*truth),
        DeValue::Datetime(instant) => serde_json::Value::from(instant.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => serde_json::Value::Object(
            table.iter().map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref()))).collect(),
        ),
    }
}

/// Reads `250ms`, `5s`, `10m`, `2h`, `7d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration; write it as in `250ms`, `5s`, `10m`, `2h`, `7d`");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(millis)
        .filter(|millis| *millis <= 3650 * 86_400_000)
        .map(Duration::from_millis)
        .ok_or_else(wrong)
}

/// An instant of the past: RFC 3339, or how long ago, as in `2h`.
///
/// # Errors
///
/// `time-invalid`: neither of the two.
pub fn past(name: &str, text: &str, now: Timestamp) -> Result<Timestamp, Refusal> {
    let ago = duration(text).map(|wait| now.before(wait)).ok();
    ago.or_else(|| Timestamp::from_rfc3339(text)).ok_or_else(|| {
        let detail = format!(
            "`{name}` is `{}`; write it as in `2026-01-31T09:00:00+08:00`, or how long ago as in `2h`",
            text.chars().take(64).flat_map(char::escape_debug).collect::<String>()
        );
        Refusal::invalid("time-invalid", detail)
    })
}

/// "there is no …", with the nearest name if one is near and all of them if none is.
pub(crate) fn no_such(what: &str, found: &str, known: &[&str]) -> String {
    match nearest(found, known) {
        Some(right) => format!("there is no {what} `{found}`; did you mean `{right}`?"),
        None if known.is_empty() => format!("there is no {what} `{found}`, and none is defined"),
        None => format!("there is no {what} `{found}`; there are: {}", known.join(", ")),
    }
}

/// "expected one of …", with the nearest first if one is near.
pub(crate) fn one_of(found: &str, words: &[&str]) -> String {
    match nearest(found, words) {
        Some(right) => format!("`{found}` is none of {}; did you mean `{right}`?", list(words)),
        None => format!("`{found}` is none of {}", list(words)),
    }
}

fn list(words: &[&str]) -> String {
    let mut words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    words.dedup();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_nonsense_is_not() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(7 * 86_400)));
        for wrong in ["", "5", "s", "5 s", "-5s", "99999999999999999999s", "4000d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_said_of_a_name_is_reported_where_it_stands_or_as_near_as_there_is_something() {
        let text = "[apps.a]\nhost = \"x\"\n[apps.a.headers]\nx-a = \"1\"\n\"x.b\" = \"2\"\n";
        let source = Source::new("config.toml", text);
        let document = DeTable::parse(text).unwrap();
        let root = Section::root(&source, &document);
        let (_, _, section) = root.named("apps").remove(0);
        for name in ["host", "port", "headers.x-a", "headers.x.b", "headers.x-c", "host.x", ""] {
            section.report_at(name, "is wrong");
        }
        section.report_at("host", "is wrong");
        let told: Vec<String> = source.into_problems().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "config.toml:1:7: apps.a: `port` is wrong",
                "config.toml:1:7: apps.a: is wrong",
                "config.toml:2:8: apps.a.host: is wrong",
                "config.toml:2:8: apps.a.host: `x` is wrong",
                "config.toml:3:1: apps.a.headers: `x-c` is wrong",
                "config.toml:4:7: apps.a.headers.x-a: is wrong",
                "config.toml:5:9: apps.a.headers.x.b: is wrong",
            ]
        );
    }
}
