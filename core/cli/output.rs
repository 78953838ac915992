//! Tables for people and JSON for scripts.

use std::io::{self, Write as _};

use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

use crate::Outcome;

/// One JSON value on a line of its own.
pub(crate) fn json(value: &impl Serialize) -> Outcome {
    line(&serde_json::to_string(value)?)
}

/// A line on standard output. A reader that has gone away is an error: a script must not take half for the whole.
pub(crate) fn line(text: &str) -> Outcome {
    writeln!(io::stdout().lock(), "{text}")?;
    Ok(())
}

/// A table: columns as wide as they need to be, in cells of a terminal.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> Outcome {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| clean(cell)).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].width());
        cells.chain([head[column].width()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let print = |cells: &[&str]| {
        let mut text = String::new();
        for (cell, width) in cells.iter().zip(&widths) {
            text.push_str(cell);
            text.push_str(&" ".repeat(width - cell.width() + 2));
        }
        line(text.trim_end())
    };
    print(head)?;
    for row in &rows {
        print(&row.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Fit for a terminal: no control characters, nothing that turns the line around.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// A text that may not be there.
pub(crate) fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

/// Where the list goes on, for people.
pub(crate) fn more(next: Option<&str>) {
    if let Some(cursor) = next {
        eprintln!("more: --cursor {cursor}");
    }
}
