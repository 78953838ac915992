//! What a scenario found: a table for people, one JSON object for scripts.

use std::io::{self, Write as _};

use serde_json::Value;

use crate::failure::Failure;
use crate::measure::Spread;

/// What is reported, in the order it was found.
pub(crate) struct Report {
    fields: Vec<(String, Value)>,
    lines: Vec<(String, String)>,
}

impl Report {
    pub(crate) fn new(scenario: &str) -> Report {
        Report { fields: vec![("scenario".to_owned(), scenario.into())], lines: Vec::new() }
    }

    /// A rate over the rounds: `NAME`, `NAME_min`, `NAME_max`.
    pub(crate) fn rate(&mut self, name: &str, label: &str, spread: Spread) {
        self.spread(name, spread, 1);
        self.line(label, format!("{:>9.0} /s   ({:.0} … {:.0})", spread.median, spread.min, spread.max));
    }

    /// A ratio over the rounds: the median of each round's own.
    pub(crate) fn ratio(&mut self, name: &str, label: &str, spread: Spread) {
        self.spread(name, spread, 3);
        self.line(label, format!("{:>9.3}      ({:.3} … {:.3})", spread.median, spread.min, spread.max));
    }

    /// Any other number, with its unit.
    pub(crate) fn number(&mut self, name: &str, label: &str, unit: &str, spread: Spread) {
        self.spread(name, spread, 3);
        self.line(label, format!("{:>9.3} {unit:<4} ({:.3} … {:.3})", spread.median, spread.min, spread.max));
    }

    /// A condition of the measurement.
    pub(crate) fn condition(&mut self, name: &str, value: impl Into<Value>) {
        self.fields.push((name.to_owned(), value.into()));
    }

    /// A line for people alone.
    pub(crate) fn line(&mut self, label: &str, text: impl Into<String>) {
        self.lines.push((label.to_owned(), text.into()));
    }

    fn spread(&mut self, name: &str, spread: Spread, digits: i32) {
        for (end, value) in [("", spread.median), ("_min", spread.min), ("_max", spread.max)] {
            self.fields.push((format!("{name}{end}"), rounded(value, digits)));
        }
    }

    /// On standard output, and the JSON as its last line if it is wanted.
    pub(crate) fn tell(&self, as_json: bool) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        let width = self.lines.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
        for (label, text) in &self.lines {
            writeln!(out, "{label:<width$}  {text}")?;
        }
        if as_json {
            writeln!(out, "{}", self.json())?;
        }
        Ok(())
    }

    /// By hand, because the order of the members helps who reads it.
    fn json(&self) -> String {
        let members: Vec<String> =
            self.fields.iter().map(|(name, value)| format!("{}:{value}", Value::from(name.as_str()))).collect();
        format!("{{{}}}", members.join(","))
    }
}

/// With so many digits behind the point; what is no number is null.
pub(crate) fn rounded(value: f64, digits: i32) -> Value {
    let scale = 10_f64.powi(digits);
    Value::from((value * scale).round() / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_the_scenario_first_and_is_json() {
        let mut report = Report::new("queue");
        report.rate("per_second", "rate", Spread::of([1.04, 2.0, 3.0]));
        report.condition("note", "a \"b\"");
        let text = report.json();
        assert_eq!(
            text,
            r#"{"scenario":"queue","per_second":2.0,"per_second_min":1.0,"per_second_max":3.0,"note":"a \"b\""}"#
        );
        assert!(serde_json::from_str::<Value>(&text).is_ok());
    }

    #[test]
    fn what_was_not_measured_is_null() {
        assert_eq!(rounded(f64::NAN, 1), Value::Null);
    }
}
