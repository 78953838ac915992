//! One run: how far it is, whom it would have reached when it began, and what it says.

use ratatui::layout::Rect;
use tidings_api::wire::{Preflight, Run, RunDetail, RunLine};

use super::lines::{self, Line, Side, aligned, wrapped};
use super::runs::{progress, refusal, took};
use super::{Kind, Page, Reaction};
use crate::acts::{Act, Plan};
use crate::calls::{Answer, Request};
use crate::keys::Action;
use crate::state::Shared;
use crate::theme::{Role, state_role};
use crate::time;
use crate::view::paint::{Painter, Piece, inset};
use crate::words::{Word, count, run_state};

/// Columns of the bar of a run that is done.
const BAR_COLUMNS: i64 = 40;

/// The page.
#[derive(Debug)]
pub(crate) struct RunPage {
    id: String,
    run: Option<RunDetail>,
    /// The first line that is seen; `None` where the last line stays in sight.
    top: Option<usize>,
}

impl RunPage {
    /// Of the run with that id.
    pub(crate) fn new(id: String) -> RunPage {
        RunPage { id, run: None, top: Some(0) }
    }

    fn lines(&self, shared: &Shared) -> Vec<Line> {
        let Some(detail) = &self.run else { return Vec::new() };
        let language = shared.language();
        let columns = usize::from(shared.content().width.saturating_sub(2));
        let mut lines = facts(&detail.run, shared, columns);
        if let Some(preflight) = &detail.preflight {
            lines.push(Line::Rule(Word::PartPreflight.text(language).to_owned()));
            lines.extend(preflight_lines(preflight, shared, columns));
        }
        let known = i64::try_from(detail.log.len()).unwrap_or(i64::MAX);
        let title = Word::PartLog.with(language, &[&count(detail.log_lines.max(known))]);
        lines.push(Line::Rule(title));
        lines.extend(aligned(detail.log.iter().map(log_line).collect(), &[Side::Left, Side::Left]));
        if detail.log_lines > known {
            lines.extend(wrapped(Word::LogNotKept.text(language), Role::Dim, columns));
        }
        lines
    }

    fn last(&self, shared: &Shared) -> usize {
        self.lines(shared).len().saturating_sub(usize::from(shared.content().height))
    }
}

impl Page for RunPage {
    fn kind(&self) -> Kind {
        Kind::Run
    }

    fn wants(&self) -> Option<Request> {
        Some(Request::Run { id: self.id.clone() })
    }

    fn take(&mut self, request: &Request, answer: Answer, shared: &Shared) {
        if *request == (Request::Run { id: self.id.clone() })
            && let Answer::Run(run) = answer
        {
            self.run = Some(*run);
            self.settle(shared);
        }
    }

    fn settle(&mut self, shared: &Shared) {
        let last = self.last(shared);
        self.top = self.top.map(|top| top.min(last));
    }

    fn act(&mut self, action: Action, shared: &Shared) -> Reaction {
        match action {
            Action::Move(step) => {
                let (last, before) = (self.last(shared), self.top);
                let mut top = before.unwrap_or(last);
                lines::scroll(&mut top, step, last, usize::from(shared.content().height));
                // At its end the log is followed.
                self.top = (top < last || last == 0).then_some(top);
                Reaction::changed(self.top != before)
            }
            Action::Cancel if self.run.is_some() => Reaction::Ask(Act::Run { id: self.id.clone() }, Some(Plan::of(1))),
            _ => Reaction::Nothing,
        }
    }

    fn refuses(&self, action: Action, shared: &Shared) -> Option<String> {
        match &self.run {
            Some(detail) => refusal(&detail.run, action, shared.language()),
            None => (action == Action::Cancel).then(|| Word::RefusedNone.text(shared.language()).to_owned()),
        }
    }

    fn status(&self, shared: &Shared) -> Vec<Piece> {
        let mut pieces = vec![Piece::new(self.id.as_str(), Role::Plain)];
        if let Some(RunDetail { run, .. }) = &self.run {
            pieces.push(Piece::new(run.schedule.as_str(), Role::Plain));
            pieces.push(Piece::new(run_state(&run.state, shared.language()), state_role(&run.state)));
        }
        pieces
    }

    fn draw(&self, painter: &mut Painter<'_>, area: Rect, shared: &Shared) {
        if self.run.is_none() {
            let text = Word::Loading.text(shared.language());
            painter.put(inset(area), 0, usize::MAX, &Piece::new(text, Role::Dim));
        }
        let top = self.top.unwrap_or_else(|| self.last(shared));
        lines::draw(painter, area, &self.lines(shared), top);
    }
}

/// How far it is, and what it is.
pub(super) fn facts(run: &Run, shared: &Shared, columns: usize) -> Vec<Line> {
    let language = shared.language();
    let mut lines = Vec::new();
    if let Some(total) = run.total.filter(|total| *total > 0) {
        let done = run.done.clamp(0, total);
        let full = usize::try_from(i128::from(done) * i128::from(BAR_COLUMNS) / i128::from(total)).unwrap_or(0);
        let empty = usize::try_from(BAR_COLUMNS).unwrap_or(0).saturating_sub(full);
        let percent = i128::from(done) * 100 / i128::from(total);
        lines.push(Line::Text(vec![
            Piece::new(format!("[{}{}]", "#".repeat(full), ".".repeat(empty)), state_role(&run.state)),
            Piece::new(format!("{percent}%"), Role::Plain),
            Piece::new(progress(run), Role::Plain),
        ]));
    }
    let when = |instant: Option<&str>| {
        let at = instant.and_then(time::parse)?;
        Some(format!("{} ({})", time::day_and_clock(at, "UTC"), shared.relative(instant)))
    };
    let number = |number: i64| (number != 0).then(|| count(number));
    lines.extend(lines::facts(
        [
            (Word::FactState, Some(run_state(&run.state, language).to_owned())),
            (Word::FactJob, Some(run.job.clone())),
            (Word::FactFor, when(Some(&run.nominal_at))),
            (Word::FactBegan, when(Some(&run.started_at))),
            (Word::FactEnded, when(run.ended_at.as_deref())),
            (Word::FactTook, took(run, shared)),
            (Word::FactDeadline, when(run.deadline_at.as_deref()).filter(|_| run.ended_at.is_none())),
            (Word::FactDone, Some(progress(run)).filter(|_| run.total.is_none())),
            (Word::FactAccepted, number(run.accepted)),
            (Word::FactDuplicates, number(run.duplicates)),
            (Word::FactSuppressed, number(run.suppressed)),
            (Word::FactRefused, number(run.refused)),
            (Word::FactResumed, number(run.resumed)),
        ],
        language,
        columns,
    ));
    let result = run.result.as_deref().into_iter();
    lines.extend(result.flat_map(|text| wrapped(text, state_role(&run.state), columns)));
    lines
}

pub(super) fn preflight_lines(preflight: &Preflight, shared: &Shared, columns: usize) -> Vec<Line> {
    let language = shared.language();
    let number = |number: u64| count(i64::try_from(number).unwrap_or(i64::MAX));
    let mut lines = lines::facts(
        [
            (if preflight.first_only { Word::FactFirstRows } else { Word::FactRows }, Some(number(preflight.rows))),
            (Word::FactReachable, Some(number(preflight.reachable))),
            (Word::FactInADay, Some(number(preflight.in_a_day))),
            (Word::FactInAWeek, Some(number(preflight.in_a_week))),
        ],
        language,
        columns,
    );
    let rows = preflight.unreachable.iter().map(|row| {
        vec![
            Piece::new(number(row.count), Role::Warn),
            Piece::new(&*row.code, Role::Plain),
            Piece::new(&*row.example, Role::Dim),
        ]
    });
    lines.extend(aligned(rows.collect(), &[Side::Right, Side::Left, Side::Left]));
    for obstacle in &preflight.obstacles {
        lines.extend(wrapped(&obstacle.detail, Role::Bad, columns));
    }
    lines
}

fn log_line(line: &RunLine) -> Vec<Piece> {
    let role = if line.level == "warn" { Role::Warn } else { Role::Plain };
    let at = time::parse(&line.at).map(time::clock).unwrap_or_default();
    vec![Piece::new(at, Role::Dim), Piece::new(&*line.text, role)]
}
