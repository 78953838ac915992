//! Which parts of the page stand where, by rule: a function of the size and of how much there is to show.

use ratatui::layout::Rect;
use tidings_api::wire::Overview;

use super::{needs, states};
use crate::state::Shared;

/// A part of the page, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Messages by state, and how fast they leave.
    States,
    /// How fast they left, over minutes.
    Throughput,
    /// A list with its title.
    List(List),
}

/// A list of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    /// What needs a person.
    Needs,
    /// Channels.
    Channels,
    /// Schedules: their next and last runs.
    Schedules,
    /// Messages that changed.
    Messages,
}

impl List {
    /// In the order of the page.
    pub(crate) const ALL: [List; 4] = [List::Needs, List::Channels, List::Schedules, List::Messages];

    /// Its place in the order of the page.
    pub(crate) fn index(self) -> usize {
        match self {
            List::Needs => 0,
            List::Channels => 1,
            List::Schedules => 2,
            List::Messages => 3,
        }
    }

    /// How many rows it has in a picture.
    pub(crate) fn len(self, overview: &Overview) -> usize {
        match self {
            List::Needs => needs::needs(overview).len(),
            List::Channels => overview.channels.len(),
            List::Schedules => overview.schedules.len(),
            List::Messages => overview.recent.len(),
        }
    }
}

/// What goes first when there is not room for everything.
const DROPPED_FIRST: [Part; 4] =
    [Part::Throughput, Part::List(List::Schedules), Part::List(List::Messages), Part::List(List::Needs)];

/// Rows above the first row of a list: its title, and its column titles where it has some.
pub(crate) fn heads(list: List) -> u16 {
    match list {
        List::Channels | List::Schedules => 2,
        // Time, id, channel, recipient, state, reason: they need no titles.
        List::Messages | List::Needs => 1,
    }
}

struct Want {
    part: Part,
    least: u16,
    wanted: u16,
}

/// The parts that are shown and where. Empty without a picture.
pub(crate) fn plan(shared: &Shared, area: Rect) -> Vec<(Part, Rect)> {
    let mut wants = wants(shared, area.width);
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
        if height > 0 {
            parts.push((want.part, Rect::new(area.left(), top, area.width, height)));
        }
        top += height;
    }
    parts
}

/// How many rows of a list are seen; `None` if it is not on the screen.
pub(crate) fn rows_seen(shared: &Shared, list: List) -> Option<usize> {
    let (_, place) = plan(shared, shared.content()).into_iter().find(|(part, _)| *part == Part::List(list))?;
    Some(usize::from(place.height.saturating_sub(heads(list))))
}

/// The rows each part must have and would like to have, in the order of the page.
fn wants(shared: &Shared, width: u16) -> Vec<Want> {
    let Some(picture) = &shared.picture else { return Vec::new() };
    let overview = &picture.overview;
    let list = |list: List, rows_least: usize| {
        let rows = list.len(overview);
        if rows == 0 {
            // A title, and a word that there is nothing; that nothing needs a person the title says.
            let rows = if list == List::Needs { 1 } else { 2 };
            return Want { part: Part::List(list), least: rows, wanted: rows };
        }
        let with_heads = |rows: usize| heads(list).saturating_add(u16::try_from(rows).unwrap_or(u16::MAX));
        Want { part: Part::List(list), least: with_heads(rows.min(rows_least)), wanted: with_heads(rows) }
    };
    vec![
        Want { part: Part::States, least: 1, wanted: states::rows_wanted(shared, width) },
        list(List::Needs, 1),
        list(List::Channels, 1),
        list(List::Schedules, 1),
        Want { part: Part::Throughput, least: 2, wanted: 2 },
        list(List::Messages, 2),
    ]
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

    use tidings_api::wire::{Change, Channel, Schedule};

    use super::*;
    use crate::state::{Look, Picture, State};
    use crate::words::Language;

    fn shared(rows: usize) -> Shared {
        let look = Look { language: Language::En, colour: false, light: false };
        let mut shared = State::new("here", look).shared;
        let overview = Overview {
            channels: vec![Channel { state: "halted".to_owned(), ..Channel::default() }; rows],
            schedules: vec![Schedule::default(); rows],
            recent: vec![Change::default(); rows],
            ..Overview::default()
        };
        shared.picture = Some(Picture::new(Arc::new(overview), Duration::ZERO));
        shared
    }

    fn has(shared: &Shared, height: u16, part: Part) -> bool {
        plan(shared, Rect::new(0, 3, 80, height)).iter().any(|(found, _)| *found == part)
    }

    #[test]
    fn parts_stand_one_under_the_other_within_the_page_at_every_size() {
        for rows in [0, 1, 3, 500] {
            let shared = shared(rows);
            for height in 0..60 {
                for width in [0, 39, 40, 80, 120] {
                    let area = Rect::new(0, 3, width, height);
                    let mut bottom = area.top();
                    for (part, place) in plan(&shared, area) {
                        assert_eq!(place.top(), bottom, "{part:?} at {width}x{height}");
                        assert!(place.height > 0 && place.bottom() <= area.bottom(), "{part:?} at {width}x{height}");
                        bottom = place.bottom();
                    }
                }
            }
        }
    }

    #[test]
    fn throughput_goes_first_then_schedules_then_messages_then_needs_and_channels_never() {
        let shared = shared(4);
        let shown = |height| DROPPED_FIRST.map(|part| has(&shared, height, part));
        assert_eq!(shown(14), [true, true, true, true]);
        assert_eq!(shown(12), [false, true, true, true]);
        assert_eq!(shown(10), [false, false, true, true]);
        assert_eq!(shown(7), [false, false, false, true]);
        assert_eq!(shown(5), [false, false, false, false]);
        for height in 4..60 {
            assert!(has(&shared, height, Part::List(List::Channels)));
            assert!(has(&shared, height, Part::States));
        }
    }

    #[test]
    fn a_long_list_does_not_starve_the_others() {
        let mut shared = shared(500);
        shared.size = (120, 36);
        for list in List::ALL {
            assert!(rows_seen(&shared, list).is_some_and(|rows| rows >= 4), "{list:?}");
        }
    }
}
