//! The first lines: is the picture fresh, and of which engine? And which pages are there?

use std::time::Duration;

use ratatui::layout::Rect;

use super::paint::{Hit, Painter, Piece};
use crate::keys::{self, Action};
use crate::page::Kind;
use crate::state::{Link, Shared, State};
use crate::text::Clean;
use crate::theme::Role;
use crate::words::Word;

/// Columns of the names of pages that are not shown, where there is not room for all of them: less and less.
const TAB_COLUMNS: [usize; 3] = [4, 3, 0];

/// Columns that the address has at least, before facts about the engine may stand beside it.
const ADDRESS_MIN: usize = 12;

/// Draws it.
pub(crate) fn draw(painter: &mut Painter<'_>, place: Rect, shared: &Shared) {
    let facts = facts(painter, place, shared);
    let room = usize::from(place.width).saturating_sub(facts);
    let mut left = 0;
    if place.width >= 60 {
        left += painter.put(place, left, room, &Piece::new(Word::Tidings.text(shared.language()), Role::Title)) + 2;
    }
    for piece in link(shared) {
        left += painter.put(place, left, room.saturating_sub(left), &piece) + 2;
    }
    // A few columns of it would name nothing.
    if room.saturating_sub(left) >= ADDRESS_MIN {
        painter.put(place, left, room - left, &Piece::new(shared.address.as_str(), Role::Plain));
    }
}

/// How the screen stands to the engine, in words.
pub(crate) fn link(shared: &Shared) -> Vec<Piece> {
    let language = shared.language();
    let mut pieces = vec![match shared.link() {
        Link::Connecting => Piece::new(Word::Connecting.text(language), Role::Warn),
        Link::NoEngine => Piece::new(Word::NoEngine.text(language), Role::Bad),
        Link::Live => Piece::new(Word::Live.text(language), Role::Good),
        Link::Stale(_) => {
            let age = shared.picture.as_ref().and_then(|picture| shared.older(picture.came_at, Duration::ZERO));
            Piece::new(Word::Stale.with(language, &[&age.unwrap_or_default()]), Role::Bad)
        }
    }];
    if shared.picture.as_ref().is_some_and(|picture| picture.overview.draining) {
        pieces.push(Piece::new(Word::Draining.text(language), Role::Warn));
    }
    // Until the engine said who we are, nothing is said about it.
    if shared.hello.as_ref().is_some_and(|hello| !hello.scopes.iter().any(|scope| scope == "operate")) {
        pieces.push(Piece::new(Word::ReadOnly.text(language), Role::Warn));
    }
    pieces
}

/// The row of pages: the one that is shown stands out. Where there is not room for all their names, the others are cut.
pub(crate) fn tabs(painter: &mut Painter<'_>, place: Rect, state: &State) {
    let language = state.shared.language();
    let current = state.tops[state.current].page.kind();
    let room = usize::from(place.width).saturating_sub(1);
    let names = |columns_max: usize| -> Vec<(Kind, Piece)> {
        Kind::TOPS
            .iter()
            .map(|kind| {
                let name = Clean::new(kind.title().text(language));
                let is_shown = *kind == current;
                let name = if is_shown { name.cut(usize::MAX) } else { name.start(columns_max) };
                let text = format!("{} {name}", keys::of(Action::Go(*kind)).key());
                let text = text.trim_end().to_owned();
                (*kind, Piece::new(text, if is_shown { Role::Focus } else { Role::Plain }))
            })
            .collect()
    };
    let columns = |tabs: &[(Kind, Piece)]| tabs.iter().map(|(_, piece)| piece.columns() + 2).sum::<usize>();
    let mut tabs = names(usize::MAX);
    for columns_max in TAB_COLUMNS {
        if columns(&tabs) > room {
            tabs = names(columns_max);
        }
    }
    let mut left = 1;
    for (kind, tab) in tabs {
        let x = place.x.saturating_add(u16::try_from(left).unwrap_or(u16::MAX));
        let taken = painter.put(place, left, usize::MAX, &tab);
        let width = u16::try_from(taken).unwrap_or(u16::MAX);
        painter.hit(Rect { x, width, ..place }, Hit::Action(Action::Go(kind)));
        left += taken + 2;
    }
}

/// Facts about the engine at the right end, the most wanted outermost, as many as fit. Says how many columns they took.
fn facts(painter: &mut Painter<'_>, place: Rect, shared: &Shared) -> usize {
    let Some(picture) = &shared.picture else { return 0 };
    let language = shared.language();
    let up = shared.since(&picture.overview.started_at);
    let facts = [
        shared.clock().map(|clock| Word::Utc.with(language, &[&clock])),
        up.map(|up| Word::Up.with(language, &[&up])),
        Some(Word::Engine.with(language, &[&picture.overview.version])),
    ];
    let left: usize = link(shared).iter().map(|piece| piece.columns() + 2).sum::<usize>() + 10 + ADDRESS_MIN;
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
