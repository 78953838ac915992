//! What is wrong between us and the engine, and what to do about it.

use ratatui::layout::Rect;

use super::header;
use super::paint::{Painter, Piece, inset, rows};
use crate::connection::ANSWER_MAX;
use crate::keys::{self, Action};
use crate::layout::SIZE_MIN;
use crate::message::Trouble;
use crate::state::State;
use crate::text::Clean;
use crate::theme::Role;
use crate::time;
use crate::words::Word;

/// One line of it, above a picture that grows old.
pub(crate) fn draw(painter: &mut Painter<'_>, place: Rect, state: &State) {
    if let Some(trouble) = &state.trouble {
        painter.put(place, 1, usize::MAX, &Piece::new(sentence(trouble, state), Role::Bad));
    }
}

/// All of it, where there is no picture yet.
pub(crate) fn instead_of_a_picture(painter: &mut Painter<'_>, area: Rect, state: &State) {
    let Some(trouble) = &state.trouble else { return };
    let area = inset(area);
    let keys = [keys::name_of(Action::Refresh), keys::name_of(Action::Quit)];
    let again = Word::TryingAgain.with(state.language, &[&keys[0], &keys[1]]);
    let mut places = rows(area).skip(1);
    for (text, role) in [(sentence(trouble, state), Role::Bad), (again, Role::Plain)] {
        for (text, place) in Clean::new(text).wrap(usize::from(area.width)).into_iter().zip(&mut places) {
            painter.put(place, 0, usize::MAX, &Piece { text, role });
        }
        places.next();
    }
}

/// The one line of a terminal that is too small: how we stand, how large it needs to be, how to leave.
pub(crate) fn too_small(painter: &mut Painter<'_>, area: Rect, state: &State) {
    let mut left = 0;
    for piece in header::link(state) {
        left += painter.put(area, left, usize::MAX, &piece) + 2;
    }
    let size = |(columns, rows): (u16, u16)| format!("{columns}x{rows}");
    let quit = Word::KeyQuit.text(state.language);
    let values = [size((area.width, area.height)), size(SIZE_MIN), keys::name_of(Action::Quit)];
    let text = Word::TooSmall.with(state.language, &[&values[0], &values[1], &values[2], quit]);
    painter.put(area, left, usize::MAX, &Piece::new(text, Role::Plain));
}

fn sentence(trouble: &Trouble, state: &State) -> String {
    let (word, value) = match trouble {
        Trouble::Unreachable => (Word::Unreachable, state.address.clone()),
        Trouble::Refused(detail) => (Word::Refused, detail.clone()),
        Trouble::Foreign(found) => (Word::Foreign, found.clone()),
        Trouble::Slow => (Word::Slow, time::span(i64::try_from(ANSWER_MAX.as_secs()).unwrap_or(i64::MAX))),
    };
    word.with(state.language, &[&value])
}
