//! Plugins: which work, what they offer, what the host counted of them.

use tidings_api::wire::{self, Plugin};

use super::Kind;
use super::lines::{self, Line, Side, aligned};
use super::listed::Listed;
use crate::calls::{Answer, Request};
use crate::filter::Filter;
use crate::state::Shared;
use crate::theme::{Role, state_role};
use crate::view::paint::Piece;
use crate::view::table::{Column, Fit, cell, marked};
use crate::window::Row;
use crate::words::{Word, count, plugin_state};

impl Row for Plugin {
    fn id(&self) -> &str {
        &self.name
    }
}

fn number(number: u64) -> String {
    count(i64::try_from(number).unwrap_or(i64::MAX))
}

impl Listed for Plugin {
    const KIND: Kind = Kind::Plugins;
    const COLUMNS: &'static [Column] = &[
        Column { title: Word::Name, keep: 99, fit: Fit::Cut(10) },
        Column { title: Word::State, keep: 95, fit: Fit::Whole },
        Column { title: Word::Version, keep: 70, fit: Fit::Whole },
        Column { title: Word::Stages, keep: 60, fit: Fit::Number },
        Column { title: Word::InFlight, keep: 65, fit: Fit::Number },
        Column { title: Word::Panics, keep: 75, fit: Fit::Number },
        Column { title: Word::Late, keep: 55, fit: Fit::Number },
        Column { title: Word::From, keep: 40, fit: Fit::Cut(8) },
        Column { title: Word::Reason, keep: 80, fit: Fit::Note(10) },
    ];
    const EMPTY: Word = Word::None;

    fn request(_filter: &Filter, _cursor: Option<String>) -> Request {
        Request::Plugins
    }

    fn rows(answer: Answer) -> Option<wire::Page<Plugin>> {
        let Answer::Plugins(items) = answer else { return None };
        Some(wire::Page { items, next: None })
    }

    fn cells(&self, shared: &Shared) -> Vec<Piece> {
        let language = shared.language();
        let built_in = Word::BuiltIn.text(language);
        let counted = |value: fn(&wire::PluginCounters) -> u64, role: Role| match &self.counters {
            Some(counters) if value(counters) > 0 => marked(number(value(counters)), role),
            Some(_) => marked("0", Role::Dim),
            None => marked("-", Role::Dim),
        };
        vec![
            cell(&*self.name),
            marked(plugin_state(&self.state, language), state_role(&self.state)),
            cell(self.version.as_deref().unwrap_or("-")),
            cell(self.stages.len().to_string()),
            counted(|counters| counters.in_flight, Role::Plain),
            counted(|counters| counters.panics, Role::Bad),
            counted(|counters| counters.late, Role::Warn),
            marked(self.file.as_deref().unwrap_or(if self.version.is_some() { built_in } else { "-" }), Role::Dim),
            marked(self.reason.as_deref().unwrap_or_default(), state_role(&self.state)),
        ]
    }

    fn lines(&self, shared: &Shared, columns: usize) -> Vec<Line> {
        let language = shared.language();
        let mut lines = vec![Line::Rule(self.name.clone())];
        let reason = self.reason.as_deref().into_iter();
        lines.extend(reason.flat_map(|text| lines::wrapped(text, state_role(&self.state), columns)));
        let counted = |value: fn(&wire::PluginCounters) -> u64| self.counters.as_ref().map(|all| number(value(all)));
        lines.extend(lines::facts(
            [
                (Word::FactVersion, self.version.clone()),
                (Word::FactFile, self.file.clone()),
                (Word::FactSha256, self.sha256.clone()),
                (Word::FactPanics, counted(|counters| counters.panics)),
                (Word::FactLate, counted(|counters| counters.late)),
                (Word::FactDoubled, counted(|counters| counters.doubled)),
                (Word::FactForeign, counted(|counters| counters.foreign)),
                (Word::FactMisshapen, counted(|counters| counters.misshapen)),
                (Word::FactLogLines, counted(|counters| counters.log_lines)),
                (Word::FactLogLeftOut, counted(|counters| counters.log_lines_left_out)),
            ],
            language,
            columns,
        ));
        if !self.stages.is_empty() {
            lines.push(Line::Rule(Word::PartStages.text(language).to_owned()));
        }
        let stages = self.stages.iter();
        let rows = stages.map(|stage| vec![Piece::new(&*stage.role, Role::Dim), Piece::new(&*stage.name, Role::Plain)]);
        lines.extend(aligned(rows.collect(), &[Side::Left, Side::Left]));
        lines
    }
}
