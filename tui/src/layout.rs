//! Which parts of the screen stand where, by rule: a function of the size and of how much there is to show.

use ratatui::layout::Rect;

use crate::state::{List, State};
use crate::view::states;

/// The smallest terminal with a screen; below it there is one line that says so.
pub(crate) const SIZE_MIN: (u16, u16) = (40, 10);

/// Rows of the screen that the help leaves to others: the header, its own title, the footer.
pub(crate) const HELP_FRAME: u16 = 3;

/// A part of the screen, in the order of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// How fresh the picture is, and of which engine.
    Header,
    /// What is wrong between us and the engine.
    Trouble,
    /// Messages by state, and how fast they leave.
    States,
    /// Where messages wait for a credential.
    Credentials,
    /// A list with its title.
    List(List),
    /// What the keys do.
    Footer,
}

/// What goes first when there is not room for everything.
const DROPPED_FIRST: [Part; 3] = [Part::List(List::Tokens), Part::List(List::Schedules), Part::Credentials];

/// Rows above the first row of a list: its title, and its column titles where it has some.
pub(crate) fn heads(list: List) -> u16 {
    match list {
        List::Channels | List::Tokens | List::Schedules => 2,
        // Time, id, channel, recipient, state, reason: they need no titles.
        List::Messages => 1,
    }
}

struct Want {
    part: Part,
    least: u16,
    wanted: u16,
}

/// The parts that are shown and where. Empty where the terminal is too small; without a picture only header and footer,
/// what is between is free.
pub(crate) fn plan(state: &State, area: Rect) -> Vec<(Part, Rect)> {
    if area.width < SIZE_MIN.0 || area.height < SIZE_MIN.1 {
        return Vec::new();
    }
    let mut wants = wants(state, area.width);
    let least = |wants: &[Want]| wants.iter().map(|want| want.least).sum::<u16>();
    for part in DROPPED_FIRST {
        if least(&wants) > area.height {
            wants.retain(|want| want.part != part);
        }
    }
    let spare = area.height.saturating_sub(least(&wants));
    grow(&mut wants, spare);

    let mut top = area.top();
    let mut parts = Vec::with_capacity(wants.len());
    for want in wants {
        let height = want.least.min(area.bottom() - top);
        // The footer is at the bottom whatever is above it.
        let top_of_part = if want.part == Part::Footer { area.bottom() - height } else { top };
        parts.push((want.part, Rect::new(area.left(), top_of_part, area.width, height)));
        top += height;
    }
    parts
}

/// How many rows of a list are seen.
pub(crate) fn rows_seen(state: &State, list: List) -> Option<usize> {
    let area = Rect::new(0, 0, state.size.0, state.size.1);
    let (_, place) = plan(state, area).into_iter().find(|(part, _)| *part == Part::List(list))?;
    Some(usize::from(place.height.saturating_sub(heads(list))))
}

/// The rows each part must have and would like to have, in the order of the screen.
fn wants(state: &State, width: u16) -> Vec<Want> {
    let fixed = |part, rows| Want { part, least: rows, wanted: rows };
    let mut wants = vec![fixed(Part::Header, 1)];
    let Some(picture) = &state.picture else {
        wants.push(fixed(Part::Footer, 1));
        return wants;
    };
    let overview = &picture.overview;
    if state.trouble.is_some() {
        wants.push(fixed(Part::Trouble, 1));
    }
    wants.push(Want { part: Part::States, least: 1, wanted: states::rows_wanted(state, width) });
    let list = |list: List, rows_least: usize| {
        let rows = list.len(overview);
        if rows == 0 {
            // A title, and a word that there is nothing.
            return fixed(Part::List(list), 2);
        }
        let with_heads = |rows: usize| heads(list).saturating_add(u16::try_from(rows).unwrap_or(u16::MAX));
        Want { part: Part::List(list), least: with_heads(rows.min(rows_least)), wanted: with_heads(rows) }
    };
    wants.push(list(List::Channels, 1));
    let waits = overview.channels.iter().any(|channel| channel.counts.waiting > 0);
    wants.push(fixed(Part::Credentials, if waits { 2 } else { 1 }));
    wants.push(list(List::Tokens, 2));
    wants.push(list(List::Schedules, 2));
    wants.push(list(List::Messages, 2));
    wants.push(fixed(Part::Footer, 1));
    wants
}

/// Gives spare rows away in turn to parts that want more. `least` becomes what the part gets.
fn grow(wants: &mut [Want], mut spare: u16) {
    loop {
        let before = spare;
        for want in wants.iter_mut() {
            // What is looked at most grows twice as fast.
            let share = match want.part {
                Part::List(List::Channels | List::Messages) => 2,
                _ => 1,
            };
            let more = (want.wanted - want.least).min(share).min(spare);
            want.least += more;
            spare -= more;
        }
        if spare == before {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tidings_api::wire::{Change, Channel, Overview, Schedule, Token};

    use super::*;
    use crate::state::Picture;
    use crate::words::Language;

    fn state(rows: usize) -> State {
        let mut state = State::new("here", Language::En, false);
        let overview = Overview {
            channels: vec![Channel::default(); rows],
            tokens: vec![Token::default(); rows],
            schedules: vec![Schedule::default(); rows],
            recent: vec![Change::default(); rows],
            ..Overview::default()
        };
        state.picture = Some(Picture::new(Arc::new(overview), Duration::ZERO));
        state
    }

    fn has(state: &State, width: u16, height: u16, part: Part) -> bool {
        plan(state, Rect::new(0, 0, width, height)).iter().any(|(found, _)| *found == part)
    }

    #[test]
    fn parts_fill_the_terminal_without_overlap_at_every_size() {
        for rows in [0, 1, 3, 500] {
            let state = state(rows);
            for height in 0..60 {
                for width in [0, 39, 40, 80, 120] {
                    let area = Rect::new(0, 0, width, height);
                    let mut bottom = 0;
                    for (part, place) in plan(&state, area) {
                        assert!(place.top() >= bottom, "{part:?} at {width}x{height}");
                        assert!(place.height > 0 && place.bottom() <= height, "{part:?} at {width}x{height}");
                        bottom = place.bottom();
                    }
                    assert!(bottom == 0 || bottom == height);
                }
            }
        }
    }

    #[test]
    fn tokens_go_first_then_schedules_then_credentials() {
        let state = state(4);
        let tokens = Part::List(List::Tokens);
        let schedules = Part::List(List::Schedules);
        let shown = |height| [tokens, schedules, Part::Credentials].map(|part| has(&state, 80, height, part));
        assert_eq!(shown(24), [true, true, true]);
        assert_eq!(shown(16), [false, true, true]);
        assert_eq!(shown(12), [false, false, true]);
        for height in 10..60 {
            assert!(has(&state, 40, height, Part::List(List::Channels)));
            assert!(has(&state, 40, height, Part::List(List::Messages)));
            assert!(has(&state, 40, height, Part::Footer));
        }
    }

    #[test]
    fn a_long_list_does_not_starve_the_others() {
        let mut state = state(500);
        state.size = (120, 36);
        for list in List::ALL {
            assert!(rows_seen(&state, list).is_some_and(|rows| rows >= 5), "{list:?}");
        }
    }
}
