//! The overview: is work flowing, what needs a person, channels, schedules, the last changes.

mod lists;
mod needs;
mod parts;
mod states;
mod throughput;

use ratatui::layout::Rect;

use super::{Kind, Page, Reaction};
use crate::cursor::Cursor;
use crate::filter::Filter;
use crate::keys::Action;
use crate::state::Shared;
use crate::view::paint::Painter;
pub(super) use lists::{channel_state_text, channels, schedule_order};
use parts::{List, Part};

/// The page.
#[derive(Debug)]
pub(crate) struct OverviewPage {
    /// The list that the keys move.
    focus: List,
    cursors: [Cursor; List::ALL.len()],
}

impl Default for OverviewPage {
    fn default() -> OverviewPage {
        // The messages move most, and theirs is the list one wants to look back in.
        OverviewPage { focus: List::Messages, cursors: Default::default() }
    }
}

impl OverviewPage {
    /// The next list by so many steps that is on the screen.
    fn focus_by(&mut self, step: usize, shared: &Shared) -> bool {
        let mut index = self.focus.index();
        for _ in List::ALL {
            index = (index + step) % List::ALL.len();
            if parts::rows_seen(shared, List::ALL[index]).is_some() {
                let changed = self.focus != List::ALL[index];
                self.focus = List::ALL[index];
                return changed;
            }
        }
        false
    }

    /// What lies behind the row under the cursor.
    fn open(&self, shared: &Shared) -> Reaction {
        let Some(picture) = &shared.picture else { return Reaction::Nothing };
        let (overview, row) = (&picture.overview, self.cursors[self.focus.index()].row());
        let reaction = match self.focus {
            List::Needs => needs::needs(overview)
                .into_iter()
                .nth(row)
                .map(|need| Reaction::Go(need.page, need.filter.map(|filter| filter.text()))),
            List::Channels => lists::channels(overview)
                .get(row)
                .map(|channel| Reaction::Go(Kind::Messages, Some(Filter::of_channel(&channel.name).text()))),
            List::Schedules => overview.schedules.get(row).map(|_| Reaction::Go(Kind::Schedules, None)),
            List::Messages => {
                overview.recent.get(row).map(|change| Reaction::Open(super::of_message(change.id.clone())))
            }
        };
        reaction.unwrap_or(Reaction::Nothing)
    }
}

impl Page for OverviewPage {
    fn kind(&self) -> Kind {
        Kind::Overview
    }

    fn settle(&mut self, shared: &Shared) {
        let Some(picture) = &shared.picture else { return };
        for list in List::ALL {
            let ids = lists::ids(list, &picture.overview);
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            let seen = parts::rows_seen(shared, list).unwrap_or(0);
            self.cursors[list.index()].follow(&ids, seen);
        }
        if parts::rows_seen(shared, self.focus).is_none() {
            self.focus = List::Channels;
        }
    }

    fn act(&mut self, action: Action, shared: &Shared) -> Reaction {
        let Some(picture) = &shared.picture else { return Reaction::Nothing };
        match action {
            Action::NextList => Reaction::changed(self.focus_by(1, shared)),
            Action::PreviousList => Reaction::changed(self.focus_by(List::ALL.len() - 1, shared)),
            Action::Open => self.open(shared),
            Action::Move(step) => {
                let ids = lists::ids(self.focus, &picture.overview);
                let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                let seen = parts::rows_seen(shared, self.focus).unwrap_or(0);
                Reaction::changed(self.cursors[self.focus.index()].go(step, &ids, seen))
            }
            _ => Reaction::Nothing,
        }
    }

    fn click(&mut self, list: usize, row: usize, shared: &Shared) -> Reaction {
        let (Some(picture), Some(list)) = (&shared.picture, List::ALL.get(list)) else { return Reaction::Nothing };
        self.focus = *list;
        let ids = lists::ids(*list, &picture.overview);
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let seen = parts::rows_seen(shared, *list).unwrap_or(0);
        self.cursors[list.index()].go_to(row, &ids, seen);
        Reaction::Changed
    }

    fn draw(&self, painter: &mut Painter<'_>, area: Rect, shared: &Shared) {
        for (part, place) in parts::plan(shared, area) {
            match part {
                Part::States => states::draw(painter, place, shared),
                Part::Throughput => throughput::draw(painter, place, shared),
                Part::List(list) => {
                    let cursor = &self.cursors[list.index()];
                    lists::draw(painter, place, shared, list, cursor, self.focus == list);
                }
            }
        }
    }
}
