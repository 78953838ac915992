//! Lines of pages that are read rather than chosen from: titles, facts, sentences, and rows that stand in columns.

use ratatui::layout::Rect;

use crate::cursor::Step;
use crate::text::Clean;
use crate::theme::Role;
use crate::view::paint::{Painter, Piece, inset, rows};
use crate::words::{Language, Word};

/// Lines of a value that are shown; what is longer is for other tools.
const VALUE_LINES_MAX: usize = 1_000;

/// A line.
#[derive(Debug)]
pub(super) enum Line {
    /// The title of a part.
    Rule(String),
    /// Pieces one after the other.
    Text(Vec<Piece>),
}

/// Draws them from that one on.
pub(super) fn draw(painter: &mut Painter<'_>, area: Rect, lines: &[Line], top: usize) {
    for (line, place) in lines.iter().skip(top).zip(rows(area)) {
        match line {
            Line::Rule(title) => painter.rule(place, title, false),
            Line::Text(pieces) => {
                painter.put_all(inset(place), 0, 1, pieces);
            }
        }
    }
}

/// A text over as many lines as it takes.
pub(super) fn wrapped(text: &str, role: Role, columns: usize) -> impl Iterator<Item = Line> {
    let rows = Clean::new(text).wrap(columns).into_iter();
    rows.map(move |text| Line::Text(vec![Piece { text, role }]))
}

/// Facts that are known, each a word and a value; as many to a line as fit.
pub(super) fn facts(
    facts: impl IntoIterator<Item = (Word, Option<String>)>,
    language: Language,
    columns: usize,
) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let (mut line, mut taken) = (Vec::new(), 0);
    for (word, value) in facts {
        let Some(value) = value else { continue };
        let (word, value) = (Piece::new(word.text(language), Role::Dim), Piece::new(value, Role::Plain));
        let wide = word.columns() + 1 + value.columns();
        if taken > 0 && taken + 3 + wide > columns {
            lines.push(Line::Text(std::mem::take(&mut line)));
            taken = 0;
        }
        if taken > 0 {
            line.push(Piece::new(" ", Role::Plain));
            taken += 3;
        }
        line.extend([word, value]);
        taken += wide;
    }
    if !line.is_empty() {
        lines.push(Line::Text(line));
    }
    lines
}

/// On which side of its column a cell stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows whose cells stand under one another.
pub(super) fn aligned(rows: Vec<Vec<Piece>>, sides: &[Side]) -> Vec<Line> {
    let widest = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(Piece::columns).max().unwrap_or(0);
    let wide: Vec<usize> = (0..sides.len()).map(widest).collect();
    let line = |row: Vec<Piece>| {
        let mut pieces = Vec::with_capacity(row.len() * 2);
        let last = row.len().saturating_sub(1);
        for (((index, cell), wide), side) in row.into_iter().enumerate().zip(&wide).zip(sides) {
            let gap = Piece::new(" ".repeat(wide - cell.columns()), Role::Plain);
            match side {
                Side::Left if index == last => pieces.push(cell),
                Side::Left => pieces.extend([cell, gap]),
                Side::Right => pieces.extend([gap, cell]),
            }
        }
        Line::Text(pieces)
    };
    rows.into_iter().map(line).collect()
}

/// A value as JSON, a member to a line.
pub(super) fn json(value: &impl std::fmt::Display, columns: usize) -> Vec<Line> {
    let text = format!("{value:#}");
    let mut lines = Vec::new();
    for line in text.lines().take(VALUE_LINES_MAX) {
        let content = line.trim_start();
        let indent = (line.len() - content.len()).min(columns / 2);
        for (index, row) in Clean::new(content).wrap(columns - indent).into_iter().enumerate() {
            // What goes on from the line before stands further in.
            let indent = if index == 0 { indent } else { (indent + 2).min(columns / 2) };
            lines.push(Line::Text(vec![
                Piece::new(" ".repeat(indent.saturating_sub(1)), Role::Plain),
                Piece { text: row, role: Role::Plain },
            ]));
        }
    }
    lines
}

/// Moves the first line that is seen, of so many that fit, to the last that may be the first. Says whether it moved.
pub(super) fn scroll(top: &mut usize, step: Step, last: usize, seen: usize) -> bool {
    let (before, page) = (*top, seen.saturating_sub(1).max(1));
    *top = match step {
        Step::Down => *top + 1,
        Step::Up => top.saturating_sub(1),
        Step::PageDown => *top + page,
        Step::PageUp => top.saturating_sub(page),
        Step::First => 0,
        Step::Last => last,
    }
    .min(last);
    *top != before
}
