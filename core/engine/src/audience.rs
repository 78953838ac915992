//! Audiences: the rows of a CSV or NDJSON file, one at a time, a broken row reported and passed over.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use serde_json::{Map, Value};
use tidings_model::limits::DATA_BYTES_MAX;

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

/// Opens the rows of a file, with the line each stands in. A dot in a column's name makes a table: `order.id`.
///
/// # Errors
///
/// What makes the whole file unusable; a broken row is an item of its own.
pub fn rows(path: &Path) -> Result<Rows, AudienceError> {
    let shown = path.display().to_string();
    let open = || File::open(path).map_err(|source| AudienceError::Read { path: shown.clone(), source });
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("csv") => csv_rows(open()?, &shown),
        Some("ndjson" | "jsonl") => Ok(Box::new(ndjson_rows(open()?))),
        _ => Err(AudienceError::Format { path: shown }),
    }
}

fn csv_rows(file: File, path: &str) -> Result<Rows, AudienceError> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
    let header = reader.headers().map_err(|error| AudienceError::Read {
        path: path.to_owned(),
        source: std::io::Error::other(error.to_string()),
    })?;
    let columns: Vec<String> = header.iter().map(|name| name.trim_start_matches('\u{feff}').to_owned()).collect();
    let Some(to) = columns.iter().position(|name| matches!(name.as_str(), "to" | "recipient" | "openid")) else {
        return Err(AudienceError::Header { path: path.to_owned(), found: columns.join(", ") });
    };
    let mut last_line = 1;
    Ok(Box::new(reader.into_records().map(move |record| match record {
        Ok(record) => {
            let line = record.position().map_or(last_line + 1, csv::Position::line);
            last_line = line;
            (line, csv_row(&columns, to, &record).map_err(|problem| RowProblem { line, problem }))
        }
        Err(error) => {
            let line = error.position().map_or(last_line + 1, csv::Position::line);
            last_line = line;
            (line, Err(RowProblem { line, problem: csv_problem(&error) }))
        }
    })))
}

fn csv_problem(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("expected {expected_len} columns, found {len}")
        }
        csv::ErrorKind::Utf8 { .. } => "is not UTF-8".to_owned(),
        _ => error.to_string(),
    }
}

fn csv_row(columns: &[String], to: usize, record: &csv::StringRecord) -> Result<Row, String> {
    let mut data = Map::new();
    for (column, value) in
        columns.iter().zip(record).enumerate().filter(|(index, _)| *index != to).map(|(_, pair)| pair)
    {
        put(&mut data, column, value.into())?;
    }
    row(record.get(to).unwrap_or_default(), data)
}

/// Puts a value at `order.id`.
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

fn ndjson_rows(file: File) -> impl Iterator<Item = (u64, Result<Row, RowProblem>)> + Send {
    let mut reader = BufReader::new(file);
    let mut line = 0;
    std::iter::from_fn(move || {
        loop {
            let mut bytes = Vec::new();
            let bound = u64::try_from(DATA_BYTES_MAX * 2).unwrap_or(u64::MAX);
            let read = reader.by_ref().take(bound).read_until(b'\n', &mut bytes);
            line += 1;
            let broken = |problem: String| Some((line, Err(RowProblem { line, problem })));
            match read {
                Ok(0) => return None,
                Err(error) => return broken(error.to_string()),
                Ok(read) if u64::try_from(read) == Ok(bound) => {
                    // What is left of an endless line is not kept: it is skipped to its end.
                    if reader.skip_until(b'\n').is_err() {
                        return None;
                    }
                    return broken(format!("is longer than {bound} bytes"));
                }
                Ok(_) if bytes.iter().all(u8::is_ascii_whitespace) => {}
                Ok(_) => return Some((line, ndjson_row(&bytes).map_err(|problem| RowProblem { line, problem }))),
            }
        }
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
}
