//! Where messages wait for a credential.

use ratatui::layout::Rect;

use super::paint::{Painter, Piece, rows};
use crate::state::State;
use crate::theme::Role;
use crate::words::{Word, count};

/// Columns between two channels.
const GAP: usize = 2;

/// Draws how many wait, and in which channels: those with the most first, as many as fit.
pub(crate) fn draw(painter: &mut Painter<'_>, place: Rect, state: &State) {
    let Some(picture) = &state.picture else { return };
    let mut waits: Vec<(&str, i64)> = picture
        .overview
        .channels
        .iter()
        .filter(|channel| channel.counts.waiting > 0)
        .map(|channel| (channel.name.as_str(), channel.counts.waiting))
        .collect();
    waits.sort_by_key(|(_, waiting)| std::cmp::Reverse(*waiting));
    let total = waits.iter().fold(0_i64, |total, (_, waiting)| total.saturating_add(*waiting));
    let total = if waits.is_empty() { Word::None.text(state.language).to_owned() } else { count(total) };

    let mut places = rows(place);
    if let Some(place) = places.next() {
        painter.rule(place, &format!("{}: {total}", Word::WaitingForCredential.text(state.language)), false);
    }
    if let Some(place) = places.next() {
        let mut left = 1;
        for (name, waiting) in waits {
            // A number that does not fit beside its name is worse than none.
            let number = Piece::new(count(waiting), Role::Warn);
            let room = usize::from(place.width).saturating_sub(left + number.columns() + 1);
            if room < 4 {
                break;
            }
            left += painter.put(place, left, room, &Piece::new(name, Role::Plain)) + 1;
            left += painter.put(place, left, usize::MAX, &number) + GAP;
        }
    }
}
