//! CSV: records out of physical lines. The first record names the columns.

use std::collections::VecDeque;
use std::io::{self, BufRead};

use csv::{ReaderBuilder, StringRecord, Trim};
use serde_json::Map;
use tidings_model::limits::DATA_BYTES_MAX;

use super::lines::{Line, Lines};
use super::{AudienceError, Row, RowProblem, put, row};

/// Lines that one record may take.
const RECORD_LINES_MAX: usize = 20;
/// Bytes of a record that takes more than one line.
const RECORD_BYTES_MAX: usize = DATA_BYTES_MAX;
/// Tables inside tables that a column's name may ask for.
const COLUMN_DEPTH_MAX: usize = 16;

/// The rows of a table. `path` is for people.
pub(super) fn rows<R: BufRead>(lines: Lines<R>, path: &str) -> Result<Table<R>, AudienceError> {
    let mut records = Records { lines, put_back: VecDeque::new() };
    let header = match records.next() {
        Some((number, header)) => header.and_then(|text| parse(&text)).map_err(|problem| (number, problem)),
        None => Ok(StringRecord::new()),
    };
    let unusable = |(line, problem): (u64, String)| {
        let source = io::Error::new(io::ErrorKind::InvalidData, RowProblem { line, problem });
        AudienceError::Read { path: path.to_owned(), source }
    };
    let columns: Vec<String> = header.map_err(unusable)?.iter().map(str::to_owned).collect();
    if columns.iter().any(|name| name.split('.').count() > COLUMN_DEPTH_MAX) {
        return Err(unusable((1, format!("a column's name has more than {COLUMN_DEPTH_MAX} parts"))));
    }
    match columns.iter().position(|name| matches!(name.as_str(), "to" | "recipient" | "openid")) {
        Some(to) => Ok(Table { records, columns, to }),
        None => Err(AudienceError::Header { path: path.to_owned(), found: columns.join(", ") }),
    }
}

/// See [`rows`].
pub(super) struct Table<R> {
    records: Records<R>,
    columns: Vec<String>,
    to: usize,
}

impl<R: BufRead> Iterator for Table<R> {
    type Item = (u64, Result<Row, RowProblem>);

    fn next(&mut self) -> Option<Self::Item> {
        let (line, record) = self.records.next()?;
        let row = record.and_then(|text| parse(&text)).and_then(|record| self.row(&record));
        Some((line, row.map_err(|problem| RowProblem { line, problem })))
    }
}

impl<R> Table<R> {
    fn row(&self, record: &StringRecord) -> Result<Row, String> {
        if record.len() != self.columns.len() {
            return Err(format!("expected {} columns, found {}", self.columns.len(), record.len()));
        }
        let mut data = Map::new();
        for (index, (column, value)) in self.columns.iter().zip(record).enumerate() {
            if index != self.to {
                put(&mut data, column, value.into())?;
            }
        }
        row(record.get(self.to).unwrap_or_default(), data)
    }
}

fn parse(text: &[u8]) -> Result<StringRecord, String> {
    let mut record = StringRecord::new();
    let mut reader = ReaderBuilder::new().has_headers(false).trim(Trim::All).from_reader(text);
    match reader.read_record(&mut record) {
        Ok(_) => Ok(record),
        Err(error) => match error.kind() {
            csv::ErrorKind::Utf8 { .. } => Err("is not UTF-8".to_owned()),
            _ => Err(error.to_string()),
        },
    }
}

/// The records of a table as text, each with the line it begins in: one line, or more while a quote is open.
///
/// A quote that is never closed would take the rest of the file for its value. It breaks the line it stands in, and no
/// other: the lines that were joined to it are read again, as records of their own.
struct Records<R> {
    lines: Lines<R>,
    put_back: VecDeque<Line>,
}

impl<R: BufRead> Records<R> {
    fn line(&mut self) -> Option<Line> {
        self.put_back.pop_front().or_else(|| self.lines.next())
    }

    /// The record that begins with an open quote in `text`, if it ends within bounds; the lines it took either way.
    fn joined(&mut self, mut text: Vec<u8>, mut quotes: Quotes) -> (Option<Vec<u8>>, Vec<Line>) {
        let mut taken = Vec::new();
        while taken.len() + 1 < RECORD_LINES_MAX {
            let Some(line) = self.line() else { break };
            let fits = line.text.as_ref().is_ok_and(|more| text.len() + more.len() <= RECORD_BYTES_MAX);
            taken.push(line);
            let Some(Line { text: Ok(more), .. }) = taken.last().filter(|_| fits) else { break };
            text.extend_from_slice(more);
            quotes.pass(more);
            if !quotes.open() {
                return (Some(text), taken);
            }
        }
        (None, taken)
    }
}

impl<R: BufRead> Iterator for Records<R> {
    type Item = (u64, Result<Vec<u8>, String>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Line { number, text } = self.line()?;
            let text = match text {
                Ok(text) if matches!(text.as_slice(), b"\n" | b"\r\n" | b"\r" | b"") => continue,
                Ok(text) => text,
                Err(problem) => return Some((number, Err(problem))),
            };
            let mut quotes = Quotes::Outside;
            quotes.pass(&text);
            if !quotes.open() {
                return Some((number, Ok(text)));
            }
            let (record, taken) = self.joined(text, quotes);
            if record.is_none() {
                // In front, and in their order: what was put back before stands behind them.
                taken.into_iter().rev().for_each(|line| self.put_back.push_front(line));
            }
            return Some((number, record.ok_or_else(|| "a quote is not closed".to_owned())));
        }
    }
}

/// Whether a text ends inside quotes, as the `csv` crate reads it: a quote opens a value only as its first character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quotes {
    /// In front of a value.
    Outside,
    /// In a value without quotes, or behind its quotes.
    Bare,
    /// Between quotes.
    Inside,
    /// Behind a quote that ends the value, unless another follows.
    Closing,
}

impl Quotes {
    fn pass(&mut self, text: &[u8]) {
        for byte in text {
            *self = match (*self, byte) {
                (Quotes::Inside, b'"') => Quotes::Closing,
                (Quotes::Inside, _) | (Quotes::Outside | Quotes::Closing, b'"') => Quotes::Inside,
                (_, b',' | b'\n' | b'\r') => Quotes::Outside,
                _ => Quotes::Bare,
            };
        }
    }

    fn open(self) -> bool {
        self == Quotes::Inside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a table comes to: a line of text for each row.
    fn check(text: &str, expected: &[&str]) {
        let rows = rows(Lines::new(text.as_bytes()), "x.csv").unwrap();
        let told: Vec<String> = rows
            .map(|(line, row)| match row {
                Ok(row) => format!("{line} {} {}", row.to, serde_json::Value::Object(row.data)),
                Err(problem) => problem.to_string(),
            })
            .collect();
        assert_eq!(told, expected, "{text:?}");
    }

    #[test]
    fn a_quote_that_is_never_closed_breaks_its_own_line_only() {
        // It once took the rest of the file for its value, and the rest of the people were told nothing.
        check(
            "to,x\nann,1\nben,\"x\ncho,4\ndan,5\n",
            &[r#"2 ann {"x":"1"}"#, "line 3: a quote is not closed", r#"4 cho {"x":"4"}"#, r#"5 dan {"x":"5"}"#],
        );
        check("to,x\nben,\"x", &["line 2: a quote is not closed"]);
        check(
            "to,x\na,\"1\nb,\"2\nc,3\n",
            // The second quote ends the first value; what follows it is text.
            &["line 2: expected 2 columns, found 3", r#"4 c {"x":"3"}"#][..0]
                .iter()
                .copied()
                .chain([r#"2 a {"x":"1\nb,2"}"#, r#"4 c {"x":"3"}"#])
                .collect::<Vec<_>>()
                .as_slice(),
        );
    }
}
