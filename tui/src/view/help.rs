//! The keys and what they do, made from the table that dispatches them.

use ratatui::layout::Rect;

use super::paint::{Painter, Piece, inset, rows};
use super::table::{self, Column, Fit, cell};
use crate::keys;
use crate::theme::Role;
use crate::words::{Language, Word};

const COLUMNS: &[Column] =
    &[Column { title: Word::Help, keep: 2, fit: Fit::Whole }, Column { title: Word::Note, keep: 1, fit: Fit::Cut(8) }];

/// Draws them, from the given row on.
pub(crate) fn draw(painter: &mut Painter<'_>, area: Rect, language: Language, top: usize) {
    let mut places = rows(area);
    if let Some(place) = places.next() {
        painter.rule(place, Word::Help.text(language), true);
    }
    let cells: Vec<Vec<Piece>> = keys::BINDINGS
        .iter()
        .map(|binding| {
            let names: Vec<String> = binding.chords.iter().copied().map(keys::name).collect();
            vec![Piece::new(names.join(", "), Role::Title), cell(binding.label.text(language))]
        })
        .collect();
    let below = Rect { y: area.y.saturating_add(1), height: area.height.saturating_sub(1), ..area };
    table::draw(painter, inset(below), COLUMNS, None, &cells, top);
}
