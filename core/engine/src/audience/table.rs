//! CSV: records out of physical lines. The first record names the columns.

use std::collections::VecDeque;
use std::io::{self, BufRead};

use csv::{ReaderBuilder, StringRecord, Trim};
use serde_json::{Map, Value};
use tidings_model::limits::DATA_BYTES_MAX;

use super::lines::{Line, Lines};
use super::{AudienceError, Row, RowProblem, row};

/// Lines that one record may take.
const RECORD_LINES_MAX: usize = 20;
/// Bytes of a record that takes more than one line.
const RECORD_BYTES_MAX: usize = DATA_BYTES_MAX;
/// Tables inside tables that a column's name may ask for.
const COLUMN_DEPTH_MAX: usize = 16;

/// The rows of a table. `path` is for people.
pub(super) fn rows<R: BufRead>(lines: Lines<R>, path: &str) -> Result<Table<R>, AudienceError> {
    let mut records = Records { lines, put_back: VecDeque::new() };
    // A file without a line has a header without a column.
    let (line, header) = records.next().unwrap_or((1, Ok(Vec::new())));
    let unusable = |problem: String| {
        let source = io::Error::new(io::ErrorKind::InvalidData, RowProblem { line, problem });
        AudienceError::Read { path: path.to_owned(), source }
    };
    let header = header.and_then(|text| parse(&text)).map_err(unusable)?;
    let columns: Vec<String> = header.iter().map(str::to_owned).collect();
    if columns.iter().any(|name| name.split('.').count() > COLUMN_DEPTH_MAX) {
        return Err(unusable(format!("a column's name has more than {COLUMN_DEPTH_MAX} parts")));
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

/// Puts a value at `order.id`; as deep as the header was let in.
fn put(data: &mut Map<String, Value>, path: &str, value: Value) -> Result<(), String> {
    let clash = || format!("column `{path}` is both a value and a table");
    match path.split_once('.') {
        None => {
            if data.insert(path.to_owned(), value).is_some() {
                return Err(clash());
            }
            Ok(())
        }
        Some((first, rest)) => {
            let table = data.entry(first).or_insert_with(|| Value::Object(Map::new()));
            put(table.as_object_mut().ok_or_else(clash)?, rest, value)
        }
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
                Ok(row) => format!("{line} {} {}", row.to, Value::Object(row.data)),
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
    }

    #[test]
    fn a_value_in_quotes_may_go_over_lines_and_a_row_is_in_the_line_it_begins_in() {
        for end in ["\n", "\r\n", "\r"] {
            let text = "to,x\nann,\"1\n\n2, \"\"3\"\"\"\n\nben,4\n,5\ncho\n".replace('\n', end);
            let value = serde_json::json!({"x": format!("1{end}{end}2, \"3\"")});
            let lines = [
                format!("2 ann {value}"),
                r#"6 ben {"x":"4"}"#.to_owned(),
                "line 7: `to` is empty".to_owned(),
                "line 8: expected 2 columns, found 1".to_owned(),
            ];
            check(&text, &lines.each_ref().map(String::as_str));
        }
    }

    #[test]
    fn a_record_may_take_so_many_lines_and_bytes_and_no_more() {
        let of_lines = |lines: usize| format!("to,x\nann,\"{}\"\nben,1\n", "\n".repeat(lines - 1));
        let count =
            |text: &str| rows(Lines::new(text.as_bytes()), "x.csv").unwrap().filter(|(_, row)| row.is_ok()).count();
        assert_eq!(count(&of_lines(RECORD_LINES_MAX)), 2);
        assert_eq!(count(&of_lines(RECORD_LINES_MAX + 1)), 1);
        let of_bytes = |bytes: usize| format!("to,x\nann,\"\n{}\"\nben,1\n", "x".repeat(bytes - "ann,\"\n\"\n".len()));
        assert_eq!(count(&of_bytes(RECORD_BYTES_MAX)), 2);
        assert_eq!(count(&of_bytes(RECORD_BYTES_MAX + 1)), 1);
    }

    #[test]
    fn each_open_quote_breaks_one_line_however_many_there_are() {
        let text = format!("to,x\n{}", format!("ben,\"x\n{}", "ann,1\n".repeat(RECORD_LINES_MAX)).repeat(50));
        let rows: Vec<_> = rows(Lines::new(text.as_bytes()), "x.csv").unwrap().collect();
        assert!(rows.iter().map(|(line, _)| *line).eq(2..2 + 50 * 21), "a line is left out or read twice");
        assert_eq!(rows.iter().filter(|(_, row)| row.is_err()).count(), 50);
    }

    #[test]
    fn a_header_is_a_record_too() {
        check("\u{feff}to,x\nann,1\n", &[r#"2 ann {"x":"1"}"#]);
        check("\u{feff}\"to\",\"x\"\nann,1\n", &[r#"2 ann {"x":"1"}"#]);
        check("\r\n\r\n to , \"x\"\r\nann, 1 \r\n", &[r#"4 ann {"\"x\"":"1"}"#]);
        check("to,\"a\nb\"\nann,1\n", &[r#"3 ann {"a\nb":"1"}"#]);
    }

    #[test]
    fn a_header_that_cannot_be_used_refuses_the_file() {
        let check = |text: &[u8], expected: &str| {
            let error = rows(Lines::new(text), "x.csv").map(drop).unwrap_err();
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            assert!(format!("{error}: {cause}").contains(expected), "{error}: {cause}");
        };
        check(b"", "one of them `to`; found: ");
        check(b"to,\"x\nann,1\n", "line 1: a quote is not closed");
        check(b"to,\xff\nann,1\n", "line 1: is not UTF-8");
        check(format!("to,{}\n", "x".repeat(crate::audience::lines::LINE_BYTES_MAX)).as_bytes(), "line 1: is longer");
        // Each dot is a table in a table: so many once overran the stack.
        check(format!("to,{}\n", "a.".repeat(50_000)).as_bytes(), "more than 16 parts");
        let deepest = vec!["a"; COLUMN_DEPTH_MAX].join(".");
        assert!(rows(Lines::new(format!("to,{deepest}\n").as_bytes()), "x.csv").is_ok());
        check(format!("to,{deepest}.a\n").as_bytes(), "more than 16 parts");
    }

    #[test]
    fn quotes_are_open_exactly_where_the_csv_crate_reads_on() {
        // Every text of up to six of these: an `x` behind it is a second record, unless a quote is open.
        let alphabet = [b'a', b',', b'"', b'\n', b'\r'];
        for length in 0..=6_u32 {
            for mut number in 0..alphabet.len().pow(length) {
                let mut text = vec![b'a'; 1];
                for _ in 0..length {
                    text.push(alphabet[number % alphabet.len()]);
                    number /= alphabet.len();
                }
                let mut quotes = Quotes::Outside;
                quotes.pass(&text);
                text.extend_from_slice(b"\nx");
                let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_slice());
                let last = reader.records().last().unwrap().unwrap();
                assert_eq!(!quotes.open(), &last == vec!["x"].as_slice(), "{:?}", String::from_utf8_lossy(&text));
            }
        }
    }
}
