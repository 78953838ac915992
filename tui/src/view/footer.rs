//! The last line: what the keys do on this page, as many as fit, from the table that dispatches them.

use ratatui::layout::Rect;

use super::paint::{Hit, Painter, Piece};
use crate::keys;
use crate::state::{Overlay, State};
use crate::theme::Role;
use crate::update::refusal;
use crate::words::Word;

/// Draws it. What a key cannot do now stays in its place, and is dim.
pub(crate) fn draw(painter: &mut Painter<'_>, place: Rect, state: &State) {
    let language = state.shared.language();
    if let Overlay::Prompt(_) | Overlay::Dialog(_) = state.overlay {
        if let Overlay::Prompt(prompt) = &state.overlay
            && !prompt.candidates.is_empty()
        {
            let candidates = prompt.candidates.join("  ");
            painter.put(place, 1, usize::MAX, &Piece::new(candidates, Role::Plain));
            return;
        }
        let text = match &state.overlay {
            Overlay::Prompt(prompt) if prompt.is_command => Word::FooterCommand.text(language).to_owned(),
            Overlay::Prompt(_) => {
                let names = state.shown().page.kind().grammar().map(|grammar| grammar.hint()).unwrap_or_default();
                Word::FooterFilter.with(language, &[&names])
            }
            _ => Word::FooterDialog.text(language).to_owned(),
        };
        painter.put(place, 1, usize::MAX, &Piece::new(text, Role::Dim));
        return;
    }
    let kind = state.shown().page.kind();
    let mut left = 1;
    for binding in keys::BINDINGS.iter().filter(|binding| binding.hint && binding.is_on(kind)) {
        let refused = refusal(state, binding).is_some();
        let key = Piece::new(binding.key(), if refused { Role::Dim } else { Role::Title });
        let label = Piece::new(binding.label.text(language), if refused { Role::Dim } else { Role::Plain });
        let columns = key.columns() + 1 + label.columns();
        if left + columns > usize::from(place.width) {
            break;
        }
        let x = place.x.saturating_add(u16::try_from(left).unwrap_or(u16::MAX));
        let width = u16::try_from(columns).unwrap_or(u16::MAX);
        painter.hit(Rect { x, width, ..place }, Hit::Action(binding.action));
        left += painter.put(place, left, usize::MAX, &key) + 1;
        left += painter.put(place, left, usize::MAX, &label) + 2;
    }
}
