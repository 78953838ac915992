//! The keys of the page and what they do, made from the table that dispatches them; and why not, where they do nothing now.

use ratatui::layout::Rect;

use super::paint::{Painter, Piece, rows as rows_of};
use super::table::{self, Column, Fit, Rows, cell};
use crate::keys::{self, Binding};
use crate::state::{Shared, State};
use crate::theme::Role;
use crate::update::refusal;
use crate::words::Word;

const COLUMNS: &[Column] = &[
    Column { title: Word::Help, keep: 4, fit: Fit::Whole },
    Column { title: Word::Name, keep: 1, fit: Fit::Whole },
    Column { title: Word::Note, keep: 3, fit: Fit::Cut(8) },
    Column { title: Word::Problem, keep: 2, fit: Fit::Note(8) },
];

/// Its rows.
fn bindings(state: &State) -> impl Iterator<Item = &'static Binding> {
    let kind = state.shown().page.kind();
    keys::BINDINGS.iter().filter(move |binding| binding.is_on(kind))
}

/// How many rows it has.
pub(crate) fn rows(state: &State) -> usize {
    bindings(state).count()
}

/// How many of them are seen.
pub(crate) fn rows_seen(shared: &Shared) -> usize {
    usize::from(shared.content().height.saturating_sub(1))
}

/// Draws them, from the given row on.
pub(crate) fn draw(painter: &mut Painter<'_>, area: Rect, state: &State, top: usize) {
    let language = state.shared.language();
    if let Some(place) = rows_of(area).next() {
        painter.rule(place, Word::Help.text(language), true);
    }
    let cells: Vec<Vec<Piece>> = bindings(state)
        .skip(top)
        .map(|binding| {
            let names: Vec<String> = binding.chords.iter().copied().map(keys::name).collect();
            let refused = refusal(state, binding);
            let role = if refused.is_some() { Role::Dim } else { Role::Plain };
            vec![
                Piece::new(names.join(", "), Role::Title),
                Piece::new(format!(":{}", binding.name), Role::Dim),
                Piece::new(binding.label.text(language), role),
                cell(refused.unwrap_or_default()),
            ]
        })
        .collect();
    let below = Rect { y: area.y.saturating_add(1), height: area.height.saturating_sub(1), ..area };
    table::draw(painter, below, COLUMNS, None, &Rows { cells: &cells, top, cursor: None, list: usize::MAX });
}
