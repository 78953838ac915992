//! The first line: is the picture fresh, and of which engine?

use ratatui::layout::Rect;

use super::paint::{Painter, Piece};
use crate::state::{Link, State};
use crate::theme::Role;
use crate::time;
use crate::words::Word;

/// Columns that the address has at least, before facts about the engine may stand beside it.
const ADDRESS_MIN: usize = 12;

/// Draws it.
pub(crate) fn draw(painter: &mut Painter<'_>, place: Rect, state: &State) {
    let facts = facts(painter, place, state);
    let room = usize::from(place.width).saturating_sub(facts);
    let mut left = 0;
    if place.width >= 60 {
        left += painter.put(place, left, room, &Piece::new(Word::Tidings.text(state.language), Role::Title)) + 2;
    }
    for piece in link(state) {
        left += painter.put(place, left, room.saturating_sub(left), &piece) + 2;
    }
    // A few columns of it would name nothing.
    if room.saturating_sub(left) >= ADDRESS_MIN {
        painter.put(place, left, room - left, &Piece::new(state.address.as_str(), Role::Plain));
    }
}

/// How the screen stands to the engine, in words.
pub(crate) fn link(state: &State) -> Vec<Piece> {
    let language = state.language;
    let mut pieces = vec![match state.link() {
        Link::Connecting => Piece::new(Word::Connecting.text(language), Role::Warn),
        Link::NoEngine => Piece::new(Word::NoEngine.text(language), Role::Bad),
        Link::Live => Piece::new(Word::Live.text(language), Role::Good),
        Link::Stale(age) => {
            let age = time::span(i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
            Piece::new(Word::Stale.with(language, &[&age]), Role::Bad)
        }
    }];
    if state.picture.as_ref().is_some_and(|picture| picture.overview.draining) {
        pieces.push(Piece::new(Word::Draining.text(language), Role::Warn));
    }
    pieces
}

/// Facts about the engine at the right end, the most wanted outermost, as many as fit. Says how many columns they took.
fn facts(painter: &mut Painter<'_>, place: Rect, state: &State) -> usize {
    let Some(picture) = &state.picture else { return 0 };
    let language = state.language;
    let engine_now = state.engine_now();
    let up = engine_now
        .zip(time::parse(&picture.overview.started_at))
        .map(|(now, started)| time::span(now.signed_duration_since(started).num_seconds()));
    let facts = [
        engine_now.map(|now| Word::Utc.with(language, &[&time::clock(now)])),
        up.map(|up| Word::Up.with(language, &[&up])),
        Some(Word::Engine.with(language, &[&picture.overview.version])),
    ];
    let left: usize = link(state).iter().map(|piece| piece.columns() + 2).sum::<usize>() + 10 + ADDRESS_MIN;
    let mut taken = 0;
    for fact in facts.into_iter().flatten() {
        let fact = Piece::new(fact, Role::Plain);
        let with_this = taken + fact.columns() + if taken > 0 { 2 } else { 0 };
        // The clock always stands; the others only where the address keeps its room.
        if taken > 0 && with_this + left > usize::from(place.width) {
            break;
        }
        taken = with_this;
        let end = Rect {
            width: place.width.saturating_sub(u16::try_from(taken - fact.columns()).unwrap_or(u16::MAX)),
            ..place
        };
        painter.put_at_end(end, &fact);
    }
    taken + 2
}
