//! Credentials: whom they reach, with each template, and when they run out. A credential is added; none is ever shown.

use tidings_api::wire::{self, Forecast, ForecastDay};

use super::Kind;
use super::lines::{self, Line, Side, aligned};
use super::listed::Listed;
use crate::acts::Act;
use crate::calls::{Answer, Request};
use crate::filter::Filter;
use crate::keys::Action;
use crate::state::Shared;
use crate::theme::Role;
use crate::view::paint::Piece;
use crate::view::table::{Column, Fit, cell, marked};
use crate::window::Row;
use crate::words::{Word, count};

/// Columns of the longest bar.
const BAR_COLUMNS: u64 = 24;

impl Row for Forecast {
    fn id(&self) -> &str {
        &self.template
    }
}

impl Listed for Forecast {
    const KIND: Kind = Kind::Credentials;
    const COLUMNS: &'static [Column] = &[
        Column { title: Word::Template, keep: 99, fit: Fit::Cut(10) },
        Column { title: Word::People, keep: 95, fit: Fit::Number },
        Column { title: Word::Sends, keep: 60, fit: Fit::Number },
        Column { title: Word::RunsOut, keep: 90, fit: Fit::Whole },
        Column { title: Word::InAWeek, keep: 80, fit: Fit::Number },
        Column { title: Word::NoEnd, keep: 50, fit: Fit::Number },
        Column { title: Word::App, keep: 40, fit: Fit::Cut(6) },
        Column { title: Word::Channel, keep: 30, fit: Fit::Cut(8) },
        Column { title: Word::Note, keep: 45, fit: Fit::Note(10) },
    ];
    const EMPTY: Word = Word::NoTemplates;

    fn request(_filter: &Filter, _cursor: Option<String>) -> Request {
        Request::Forecast
    }

    fn rows(answer: Answer) -> Option<wire::Page<Forecast>> {
        let Answer::Forecast(forecasts) = answer else { return None };
        Some(wire::Page { items: forecasts.items, next: None })
    }

    fn cells(&self, shared: &Shared) -> Vec<Piece> {
        let language = shared.language();
        let number = |value: u64, role: Role| {
            if self.needs_permit { marked(number(value), role) } else { marked("-", Role::Dim) }
        };
        let first_end = self.days.iter().find(|day| day.people_lost > 0);
        let runs_out = first_end.map(|day| shared.relative(Some(&day.until))).unwrap_or_default();
        let note = if !self.needs_permit {
            Word::NeedsNone.text(language).to_owned()
        } else if self.by_itself.is_empty() {
            String::new()
        } else {
            Word::ByItself.with(language, &[&self.by_itself.join(" ")])
        };
        let people = if self.people == 0 && self.by_itself.is_empty() { Role::Bad } else { Role::Plain };
        let left = if self.people_in_a_week * 2 < self.people { Role::Warn } else { Role::Plain };
        vec![
            cell(&*self.template),
            number(self.people, people),
            number(self.sends, Role::Plain),
            marked(runs_out, left),
            number(self.people_in_a_week, left),
            number(self.people_without_end, Role::Plain),
            cell(&*self.app),
            cell(&*self.channel),
            marked(note, Role::Dim),
        ]
    }

    fn lines(&self, shared: &Shared, columns: usize) -> Vec<Line> {
        let language = shared.language();
        let mut lines = vec![Line::Rule(Word::PartRunsOut.with(language, &[&self.template]))];
        if !self.needs_permit {
            lines.extend(lines::wrapped(Word::EveryoneReached.text(language), Role::Dim, columns));
            return lines;
        }
        if !self.by_itself.is_empty() {
            let text = Word::ByItself.with(language, &[&self.by_itself.join(" ")]);
            lines.extend(lines::wrapped(&text, Role::Plain, columns));
        }
        if self.days.is_empty() {
            lines.extend(lines::wrapped(Word::NothingRunsOut.text(language), Role::Dim, columns));
            return lines;
        }
        let people_max = self.people.max(1);
        let row = |day: &ForecastDay| {
            let wide = day.people.saturating_mul(BAR_COLUMNS) / people_max;
            let bar = "#".repeat(usize::try_from(wide.min(BAR_COLUMNS)).unwrap_or(0));
            let role = if day.people * 2 < self.people { Role::Warn } else { Role::Plain };
            vec![
                Piece::new(shared.relative(Some(&day.until)), Role::Dim),
                Piece::new(number(day.people), role),
                Piece::new(bar, role),
                Piece::new(
                    Word::RunsOutLost.with(language, &[&number(day.people_lost), &number(day.sends_lost)]),
                    Role::Dim,
                ),
            ]
        };
        let sides = [Side::Left, Side::Right, Side::Left, Side::Left];
        lines.extend(aligned(self.days.iter().map(row).collect(), &sides));
        lines
    }

    fn act_on_none(action: Action) -> Option<Act> {
        (action == Action::AddCredential).then(Act::new_credential)
    }
}

fn number(number: u64) -> String {
    count(i64::try_from(number).unwrap_or(i64::MAX))
}
