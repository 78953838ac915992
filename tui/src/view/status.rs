//! The line over the page: what is typed; else what was done or refused; else what is wrong; else what the page is of.

use ratatui::layout::Rect;

use super::paint::{Painter, Piece};
use super::trouble;
use crate::state::{Overlay, Prompt, State};
use crate::text::Clean;
use crate::theme::Role;
use crate::words::Word;

/// Draws it.
pub(crate) fn draw(painter: &mut Painter<'_>, place: Rect, state: &State) {
    let shared = &state.shared;
    if let Overlay::Prompt(prompt) = &state.overlay {
        return type_in(painter, place, prompt);
    }
    if let Some(note) = &state.note {
        let role = if note.good { Role::Good } else { Role::Warn };
        painter.put(place, 1, usize::MAX, &Piece::new(note.text.as_str(), role));
        return;
    }
    let trouble = shared.trouble.as_ref().or(state.shown().trouble.as_ref());
    if let Some(trouble) = trouble
        && shared.picture.is_some()
    {
        let sentence = trouble::sentence(trouble, &shared.address, shared.language());
        painter.put(place, 1, usize::MAX, &Piece::new(sentence, Role::Bad));
        return;
    }
    let mut pieces = vec![Piece::new(state.shown().page.kind().title().text(shared.language()), Role::Title)];
    pieces.extend(state.shown().page.status(shared));
    let age = age(state);
    let room = Rect { width: place.width.saturating_sub(u16::try_from(age.columns()).unwrap_or(u16::MAX)), ..place };
    painter.put_all(room, 1, 2, &pieces);
    painter.put_at_end(place, &age);
}

/// How old the page is, once it is older than it should be.
fn age(state: &State) -> Piece {
    let shown = state.shown();
    let (Some(request), Some(came_at)) = (shown.page.wants(), shown.came_at) else { return Piece::default() };
    let Some(age) = state.shared.older(came_at, request.period() * 2) else { return Piece::default() };
    Piece::new(Word::AsOf.with(state.shared.language(), &[&age]), Role::Warn)
}

/// The text with the cursor in it. What does not fit is left out at the left.
fn type_in(painter: &mut Painter<'_>, place: Rect, prompt: &Prompt) {
    let sign = Piece::new(if prompt.is_command { ":" } else { "/" }, Role::Title);
    let problem = Piece::new(prompt.problem.as_deref().unwrap_or_default(), Role::Bad);
    let left = painter.put(place, 0, usize::MAX, &sign);
    let half = usize::from(place.width) / 2;
    let room = usize::from(place.width).saturating_sub(left + 1 + problem.columns().min(half));
    let (text, cursor) = visible(&prompt.input.before(), &prompt.input.text(), room);
    let end = left + painter.put(place, left, room, &Piece { text, role: Role::Plain });
    painter.cursor(place, left + cursor);
    painter.put(place, end + 2, usize::MAX, &problem);
}

/// As much of a text as fits with the place in it, and the column of the place.
pub(crate) fn visible(before: &str, text: &str, room: usize) -> (Clean, usize) {
    let columns = Clean::new(before).columns();
    if columns <= room {
        return (Clean::new(text), columns);
    }
    for (index, character) in before.char_indices() {
        let rest = &before[index + character.len_utf8()..];
        let columns = Clean::new(rest).columns();
        if columns <= room {
            return (Clean::new(&text[index + character.len_utf8()..]), columns);
        }
    }
    (Clean::default(), 0)
}
