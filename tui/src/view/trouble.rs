//! What is wrong between us and the engine, and what to do about it.

use ratatui::layout::Rect;

use super::header;
use super::paint::{Painter, Piece, inset, rows};
use crate::calls::{ANSWER_MAX, Trouble};
use crate::keys::{self, Action};
use crate::layout::SIZE_MIN;
use crate::state::Shared;
use crate::text::Clean;
use crate::theme::Role;
use crate::time;
use crate::words::{Language, Word};

/// All of it, where there is no picture yet.
pub(crate) fn instead_of_a_picture(painter: &mut Painter<'_>, area: Rect, shared: &Shared) {
    let Some(trouble) = &shared.trouble else { return };
    let area = inset(area);
    let keys = [keys::of(Action::Refresh).key(), keys::of(Action::Quit).key()];
    let again = Word::TryingAgain.with(shared.language(), &[&keys[0], &keys[1]]);
    let mut places = rows(area).skip(1);
    let sentence = sentence(trouble, &shared.address, shared.language());
    for (text, role) in [(sentence, Role::Bad), (again, Role::Plain)] {
        for (text, place) in Clean::new(text).wrap(usize::from(area.width)).into_iter().zip(&mut places) {
            painter.put(place, 0, usize::MAX, &Piece { text, role });
        }
        places.next();
    }
}

/// The one line of a terminal that is too small: how we stand, how large it needs to be, how to leave.
pub(crate) fn too_small(painter: &mut Painter<'_>, area: Rect, shared: &Shared) {
    let left = painter.put_all(area, 0, 2, &header::link(shared));
    let size = |(columns, rows): (u16, u16)| format!("{columns}x{rows}");
    let quit = Word::KeyQuit.text(shared.language());
    let values = [size((area.width, area.height)), size(SIZE_MIN), keys::of(Action::Quit).key()];
    let text = Word::TooSmall.with(shared.language(), &[&values[0], &values[1], &values[2], quit]);
    painter.put(area, left, usize::MAX, &Piece::new(text, Role::Plain));
}

/// What is wrong, in a sentence.
pub(crate) fn sentence(trouble: &Trouble, address: &str, language: Language) -> String {
    let (word, value) = match trouble {
        Trouble::Unreachable => (Word::Unreachable, address.to_owned()),
        Trouble::Refused(detail) => (Word::Refused, detail.clone()),
        Trouble::Foreign(found) => (Word::Foreign, found.clone()),
        Trouble::Slow => (Word::Slow, time::span(i64::try_from(ANSWER_MAX.as_secs()).unwrap_or(i64::MAX))),
    };
    word.with(language, &[&value])
}
