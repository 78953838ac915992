//! The last line: what the keys do, as many as fit, from the table that dispatches them.

use ratatui::layout::Rect;

use super::paint::{Painter, Piece};
use crate::keys;
use crate::state::State;
use crate::theme::Role;

/// Draws it.
pub(crate) fn draw(painter: &mut Painter<'_>, place: Rect, state: &State) {
    let mut left = 1;
    for binding in keys::BINDINGS.iter().filter(|binding| binding.hint) {
        let key = Piece::new(keys::name(binding.chords[0]), Role::Title);
        let label = Piece::new(binding.label.text(state.language), Role::Plain);
        if left + key.columns() + 1 + label.columns() > usize::from(place.width) {
            break;
        }
        left += painter.put(place, left, usize::MAX, &key) + 1;
        left += painter.put(place, left, usize::MAX, &label) + 2;
    }
}
