//! Audiences: the rows of a CSV or NDJSON file, one at a time, a broken row reported and passed over. However long the
//! file is, and whatever is wrong with it, a few lines of it are in memory.

mod everyone;
mod feed;
mod file;
mod lines;
mod table;
mod url;

use std::fs::File;
use std::io::{self, BufRead};
use std::path::Path;

use serde_json::{Map, Value};

pub(crate) use feed::{Feed, FeedError, PORTION_ROWS_MAX, Place, Portion, mark_of};
use lines::Lines;

/// One row: who, and with what.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Who is told.
    pub to: String,
    /// What the template is filled with.
    pub data: Map<String, Value>,
}

/// A row that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct RowProblem {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub problem: String,
}

/// Why a file cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum AudienceError {
    /// It cannot be read.
    #[error("read audience `{path}`")]
    Read {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// It has no column that says who.
    #[error("read audience `{path}`: the first line must name the columns, one of them `to`; found: {found}")]
    Header {
        /// The file.
        path: String,
        /// The columns it has.
        found: String,
    },
    /// Its name says no format.
    #[error("read audience `{path}`: expected a name that ends in `.csv` or `.ndjson`")]
    Format {
        /// The file.
        path: String,
    },
}

/// The rows of a file, each with the line it stands in.
pub type Rows = Box<dyn Iterator<Item = (u64, Result<Row, RowProblem>)> + Send>;

/// Opens the rows of a file, with the line each begins in. A dot in a column's name makes a table: `order.id`.
///
/// # Errors
///
/// What makes the whole file unusable; a broken row is an item of its own. What can no longer be read is the last item.
pub fn rows(path: &Path) -> Result<Rows, AudienceError> {
    rows_of(path, |path| File::open(path))
}

/// The same of a file that somebody opens; `path` says the format.
fn rows_of(path: &Path, open: impl FnOnce(&Path) -> io::Result<File>) -> Result<Rows, AudienceError> {
    let shown = path.display().to_string();
    let open = || {
        let lines = open(path).and_then(Lines::open);
        lines.map_err(|source| AudienceError::Read { path: shown.clone(), source })
    };
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("csv") => Ok(Box::new(table::rows(open()?, &shown)?)),
        Some("ndjson" | "jsonl") => Ok(Box::new(ndjson_rows(open()?))),
        _ => Err(AudienceError::Format { path: shown }),
    }
}

fn ndjson_rows<R: BufRead>(lines: Lines<R>) -> impl Iterator<Item = (u64, Result<Row, RowProblem>)> {
    let blank = |text: &[u8]| text.iter().all(u8::is_ascii_whitespace);
    lines.filter(move |line| !line.text.as_ref().is_ok_and(|text| blank(text))).map(|line| {
        let row = line.text.and_then(|text| ndjson_row(&text));
        (line.number, row.map_err(|problem| RowProblem { line: line.number, problem }))
    })
}

fn ndjson_row(bytes: &[u8]) -> Result<Row, String> {
    let mut object: Map<String, Value> =
        serde_json::from_slice(bytes).map_err(|error| format!("is no JSON object: {error}"))?;
    let to = match object.remove("to") {
        Some(Value::String(to)) => to,
        Some(_) => return Err("`to` is no string".to_owned()),
        None => return Err("has no `to`".to_owned()),
    };
    let data = match object.remove("data") {
        Some(Value::Object(data)) => data,
        Some(_) => return Err("`data` is no object".to_owned()),
        None => Map::new(),
    };
    match object.keys().next() {
        Some(unknown) => Err(format!("unknown member `{unknown}`; a row has `to` and `data`")),
        None => row(&to, data),
    }
}

fn row(to: &str, data: Map<String, Value>) -> Result<Row, String> {
    if to.is_empty() {
        return Err("`to` is empty".to_owned());
    }
    Ok(Row { to: to.to_owned(), data })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &[u8]) -> Vec<(u64, Result<Row, RowProblem>)> {
        let path = std::env::temp_dir().join(format!("tidings-audience-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let rows = rows(&path).unwrap().collect();
        std::fs::remove_file(&path).unwrap();
        rows
    }

    #[test]
    fn a_broken_csv_row_is_reported_with_its_line_and_the_rest_goes_on() {
        let rows = read("broken.csv", b"to,title,order.id\nann,Hi,7\nben,too,many,columns\n,none,1\ncho,Ho,8\n");
        let told: Vec<String> = rows
            .iter()
            .map(|(line, row)| match row {
                Ok(row) => format!("{line} {} {}", row.to, Value::Object(row.data.clone())),
                Err(problem) => problem.to_string(),
            })
            .collect();
        assert_eq!(
            told,
            [
                r#"2 ann {"order":{"id":"7"},"title":"Hi"}"#,
                "line 3: expected 3 columns, found 4",
                "line 4: `to` is empty",
                r#"5 cho {"order":{"id":"8"},"title":"Ho"}"#,
            ]
        );
    }

    #[test]
    fn a_broken_ndjson_row_is_reported_with_its_line_and_the_rest_goes_on() {
        let rows =
            read("broken.ndjson", b"{\"to\":\"ann\",\"data\":{\"x\":1}}\n\n{\"to\":3}\nnonsense\n{\"to\":\"ben\"}");
        let told: Vec<bool> = rows.iter().map(|(_, row)| row.is_ok()).collect();
        assert_eq!(told, [true, false, false, true]);
        assert_eq!(rows[3].0, 5);
    }

    #[test]
    fn a_file_without_a_recipient_column_is_refused_whole() {
        let path = std::env::temp_dir().join(format!("tidings-audience-{}-none.csv", std::process::id()));
        std::fs::write(&path, "name,title\nann,Hi\n").unwrap();
        let error = rows(&path).map(drop).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        assert!(error.to_string().ends_with("one of them `to`; found: name, title"), "{error}");
    }

    #[test]
    fn a_folder_with_the_name_of_a_file_is_refused_whole() {
        // Opening it works, and reading it fails for ever: it once gave an error item for ever.
        for name in ["folder.ndjson", "folder.csv"] {
            let path = std::env::temp_dir().join(format!("tidings-audience-{}-{name}", std::process::id()));
            std::fs::create_dir(&path).unwrap();
            let error = rows(&path).map(drop);
            std::fs::remove_dir(&path).unwrap();
            assert!(matches!(error, Err(AudienceError::Read { .. })), "{error:?}");
        }
    }

    #[test]
    fn ndjson_reads_every_end_of_line_and_counts_it() {
        for end in ["\n", "\r\n", "\r"] {
            let rows =
                read("ends.ndjson", "\u{feff}{\"to\":\"ann\"}\n \n{}\n{\"to\":\"ben\"}".replace('\n', end).as_bytes());
            let told: Vec<(u64, bool)> = rows.iter().map(|(line, row)| (*line, row.is_ok())).collect();
            assert_eq!(told, [(1, true), (3, false), (4, true)], "{end:?}");
        }
    }

    #[test]
    fn an_ndjson_row_behind_one_of_the_longest_length_is_not_swallowed() {
        let row = r#"{"to":"ann"}"#;
        let long = format!("{row}{}\n", " ".repeat(lines::LINE_BYTES_MAX - row.len()));
        let rows = read("bound.ndjson", format!("{long}x{long}{{\"to\":\"ben\"}}\n").as_bytes());
        let told: Vec<(u64, bool)> = rows.iter().map(|(line, row)| (*line, row.is_ok())).collect();
        assert_eq!(told, [(1, true), (2, false), (3, true)]);
        assert!(rows[1].1.as_ref().unwrap_err().problem.starts_with("is longer than"));
    }
}
