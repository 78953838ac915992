//! Runs of schedules, the newest first.

use tidings_api::wire::{self, Run};

use super::lines::Line;
use super::listed::Listed;
use super::run::{RunPage, facts};
use super::{Kind, Page};
use crate::acts::Act;
use crate::calls::{Answer, Request};
use crate::filter::Filter;
use crate::keys::Action;
use crate::state::Shared;
use crate::theme::{Role, state_role};
use crate::time;
use crate::view::paint::Piece;
use crate::view::table::{Column, Fit, cell, marked};
use crate::window::Row;
use crate::words::{Language, Word, count, run_state};

impl Row for Run {
    fn id(&self) -> &str {
        &self.id
    }
}

/// How much of it is done, of how much where that is known.
pub(super) fn progress(run: &Run) -> String {
    let done = count(run.done);
    run.total.map_or_else(|| done.clone(), |total| format!("{done}/{}", count(total)))
}

/// How long it took, or takes so far.
pub(super) fn took(run: &Run, shared: &Shared) -> Option<String> {
    let Some(ended) = &run.ended_at else { return shared.since(&run.started_at) };
    let (began, ended) = (time::parse(&run.started_at)?, time::parse(ended)?);
    Some(time::span(ended.signed_duration_since(began).num_seconds()))
}

/// Why a key does nothing to a run, if it does nothing.
pub(super) fn refusal(run: &Run, action: Action, language: Language) -> Option<String> {
    let is_over = action == Action::Cancel && run.state != "running";
    is_over.then(|| Word::RefusedState.with(language, &[&run.id, run_state(&run.state, language)]))
}

impl Listed for Run {
    const KIND: Kind = Kind::Runs;
    const COLUMNS: &'static [Column] = &[
        Column { title: Word::Id, keep: 70, fit: Fit::Whole },
        Column { title: Word::Schedule, keep: 99, fit: Fit::Cut(10) },
        Column { title: Word::State, keep: 95, fit: Fit::Whole },
        Column { title: Word::When, keep: 80, fit: Fit::Whole },
        Column { title: Word::Took, keep: 50, fit: Fit::Whole },
        Column { title: Word::Done, keep: 60, fit: Fit::Number },
        Column { title: Word::Job, keep: 30, fit: Fit::Note(8) },
        Column { title: Word::Result, keep: 40, fit: Fit::Note(8) },
    ];
    const EMPTY: Word = Word::NoRuns;

    fn request(filter: &Filter, cursor: Option<String>) -> Request {
        Request::Runs { filter: filter.clone(), cursor }
    }

    fn rows(answer: Answer) -> Option<wire::Page<Run>> {
        if let Answer::Runs(page) = answer { Some(page) } else { None }
    }

    fn cells(&self, shared: &Shared) -> Vec<Piece> {
        vec![
            marked(&*self.id, Role::Dim),
            cell(&*self.schedule),
            marked(run_state(&self.state, shared.language()), state_role(&self.state)),
            cell(shared.relative(Some(&self.started_at))),
            cell(took(self, shared).unwrap_or_default()),
            cell(progress(self)),
            marked(&*self.job, Role::Dim),
            cell(self.result.as_deref().unwrap_or_default()),
        ]
    }

    fn lines(&self, shared: &Shared, columns: usize) -> Vec<Line> {
        let mut lines = vec![Line::Rule(format!("{}  {}", self.id, self.schedule))];
        lines.extend(facts(self, shared, columns));
        lines
    }

    fn page(&self, action: Action) -> Option<Box<dyn Page>> {
        (action == Action::Open).then(|| -> Box<dyn Page> { Box::new(RunPage::new(self.id.clone())) })
    }

    fn act(&self, action: Action) -> Option<Act> {
        (action == Action::Cancel).then(|| Act::Run { id: self.id.clone() })
    }

    fn refuses(&self, action: Action, shared: &Shared) -> Option<String> {
        refusal(self, action, shared.language())
    }
}
