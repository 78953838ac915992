//! Schedules: when each fires, in words and by the clock, what became of its last times; running, pausing, leaving out.

use tidings_api::wire::{self, Firing, NextTime, Schedule};

use super::lines::{self, Line, Side, aligned, wrapped};
use super::listed::Listed;
use super::overview::schedule_order;
use super::preflight::PreflightPage;
use super::runs::took;
use super::{Kind, Page};
use crate::acts::{Act, Timing};
use crate::calls::{Answer, Request};
use crate::filter::Filter;
use crate::keys::Action;
use crate::state::Shared;
use crate::theme::{Role, state_role};
use crate::time;
use crate::view::paint::Piece;
use crate::view::table::{Column, Fit, cell, marked};
use crate::window::Row;
use crate::words::{Language, Word, count, run_state, schedule_state, verdict};

impl Row for Schedule {
    fn id(&self) -> &str {
        &self.name
    }
}

/// How a verdict is drawn in a strip of them, and how it is to be taken.
fn sign(firing: &Firing) -> (char, Role) {
    match firing.verdict.as_str() {
        "fired" => ('.', Role::Good),
        "failed" => ('!', Role::Bad),
        "coalesced" => ('=', Role::Plain),
        "skipped_overlap" => ('-', Role::Warn),
        "skipped" => ('s', Role::Plain),
        "missed" => ('x', Role::Warn),
        "paused" => ('p', Role::Plain),
        "backfilled" => ('b', Role::Good),
        "by_hand" => ('h', Role::Good),
        _ => ('?', Role::Plain),
    }
}

/// Its last verdicts, the newest at the right end.
fn strip(schedule: &Schedule) -> Piece {
    let text: String = schedule.history.iter().rev().map(|firing| sign(firing).0).collect();
    let newest = schedule.history.first().map_or(Role::Dim, |firing| sign(firing).1);
    marked(text, newest)
}

fn words(schedule: &Schedule, language: Language) -> &str {
    match language {
        Language::En => &schedule.words.en,
        Language::Zh => &schedule.words.zh,
    }
}

/// How it stands: where it goes on but for some of its next times, how many those are.
fn state(schedule: &Schedule, language: Language) -> Piece {
    if schedule.skips > 0 && schedule.state == "active" {
        return marked(Word::LeavesOut.with(language, &[&schedule.skips.to_string()]), Role::Warn);
    }
    marked(schedule_state(&schedule.state, language), state_role(&schedule.state))
}

impl Listed for Schedule {
    const KIND: Kind = Kind::Schedules;
    const COLUMNS: &'static [Column] = &[
        Column { title: Word::Name, keep: 99, fit: Fit::Cut(12) },
        Column { title: Word::State, keep: 80, fit: Fit::Whole },
        Column { title: Word::Next, keep: 95, fit: Fit::Whole },
        Column { title: Word::Clock, keep: 45, fit: Fit::Whole },
        Column { title: Word::Zone, keep: 30, fit: Fit::Cut(8) },
        Column { title: Word::Cron, keep: 50, fit: Fit::Cut(9) },
        Column { title: Word::InWords, keep: 40, fit: Fit::Cut(12) },
        Column { title: Word::LastRun, keep: 70, fit: Fit::Whole },
        Column { title: Word::When, keep: 35, fit: Fit::Whole },
        Column { title: Word::History, keep: 60, fit: Fit::Whole },
    ];
    const EMPTY: Word = Word::NoSchedules;

    fn request(_filter: &Filter, _cursor: Option<String>) -> Request {
        Request::Schedules
    }

    fn rows(answer: Answer) -> Option<wire::Page<Schedule>> {
        let Answer::Schedules(mut items) = answer else { return None };
        items.sort_by_cached_key(schedule_order);
        Some(wire::Page { items, next: None })
    }

    fn cells(&self, shared: &Shared) -> Vec<Piece> {
        let language = shared.language();
        let next = self.next_at.as_deref().and_then(time::parse);
        let run = self.last_run.as_ref();
        vec![
            cell(&*self.name),
            state(self, language),
            cell(shared.relative(self.next_at.as_deref())),
            cell(next.map(|next| time::day_and_clock(next, &self.timezone)).unwrap_or_default()),
            marked(&*self.timezone, Role::Dim),
            cell(&*self.cron),
            cell(words(self, language)),
            run.map_or_else(
                || marked(Word::RunNever.text(language), Role::Dim),
                |run| marked(run_state(&run.state, language), state_role(&run.state)),
            ),
            cell(run.map(|run| shared.relative(Some(&run.started_at))).unwrap_or_default()),
            strip(self),
        ]
    }

    fn lines(&self, shared: &Shared, columns: usize) -> Vec<Line> {
        let language = shared.language();
        let mut lines = vec![Line::Rule(self.name.clone())];
        let title = format!("{}  {}  {}", self.cron, words(self, language), self.timezone);
        lines.extend(wrapped(&title, Role::Title, columns));
        let stops = [
            self.paused.as_ref().map(|said| Word::PausedBy.with(language, &[&said.by, &said.why])),
            self.skip.as_ref().map(|said| Word::SkippedBy.with(language, &[&said.by, &said.why])),
            self.backfill.as_ref().map(|fill| Word::BackfilledBy.with(language, &[&fill.by, &fill.until, &fill.why])),
        ];
        for text in stops.into_iter().flatten() {
            lines.extend(wrapped(&text, Role::Warn, columns));
        }
        lines.extend(facts(self, shared, columns));
        if !self.next.is_empty() {
            lines.push(Line::Rule(Word::PartNextTimes.with(language, &[&self.timezone])));
        }
        let rows = self.next.iter().map(|next| next_time(next, &self.timezone, shared)).collect();
        lines.extend(aligned(rows, &[Side::Left, Side::Left, Side::Left]));
        if !self.history.is_empty() {
            lines.push(Line::Rule(Word::PartHistory.text(language).to_owned()));
        }
        let rows = self.history.iter().map(|firing| past_time(firing, &self.timezone, shared)).collect();
        lines.extend(aligned(rows, &[Side::Left, Side::Left, Side::Left, Side::Right, Side::Left]));
        lines
    }

    fn act(&self, action: Action) -> Option<Act> {
        let timing = match action {
            Action::RunNow => Timing::Run,
            Action::Pause if self.state == "paused" => Timing::Resume,
            Action::Pause => Timing::Pause,
            Action::Skip if self.skips > 0 => Timing::Unskip,
            Action::Skip => Timing::Skip,
            Action::Backfill if self.backfill.is_some() => Timing::EndBackfill,
            Action::Backfill => return Some(Act::backfill(&self.name)),
            _ => return None,
        };
        Some(Act::Schedule { timing, name: self.name.clone() })
    }

    fn page(&self, action: Action) -> Option<Box<dyn Page>> {
        (action == Action::Preflight).then(|| -> Box<dyn Page> { Box::new(PreflightPage::new(self.name.clone())) })
    }

    fn refuses(&self, action: Action, shared: &Shared) -> Option<String> {
        let changes =
            matches!(action, Action::RunNow | Action::Pause | Action::Skip | Action::Backfill | Action::Preflight);
        if changes && self.state == "removed" {
            let state = schedule_state(&self.state, shared.language());
            return Some(Word::RefusedState.with(shared.language(), &[&self.name, state]));
        }
        // A broadcast's job is told as in `send digest to everyone`.
        (action == Action::Preflight && !self.job.starts_with("send "))
            .then(|| Word::RefusedNoBroadcast.with(shared.language(), &[&self.name]))
    }
}

/// What it does, and about times that are late and runs that overlap.
fn facts(schedule: &Schedule, shared: &Shared, columns: usize) -> Vec<Line> {
    let language = shared.language();
    let policy = &schedule.policy;
    let span = |seconds: u64| time::span(i64::try_from(seconds).unwrap_or(i64::MAX));
    let missed = policy.missed_max.map_or_else(|| policy.missed.clone(), |most| format!("{} {most}", policy.missed));
    let text = |text: String| Some(text).filter(|text| !text.is_empty());
    lines::facts(
        [
            (Word::FactJob, text(schedule.job.clone())),
            (Word::FactMissed, text(missed)),
            (Word::FactOverlap, text(policy.overlap.clone())),
            (Word::FactGrace, policy.grace_s.map(span)),
            (Word::FactJitter, Some(policy.jitter_ms / 1_000).filter(|seconds| *seconds > 0).map(span)),
            (Word::FactTook, schedule.last_run.as_ref().and_then(|run| took(run, shared))),
        ],
        language,
        columns,
    )
}

fn next_time(next: &NextTime, zone: &str, shared: &Shared) -> Vec<Piece> {
    let at = time::parse(&next.at).map(|at| time::day_and_clock(at, zone)).unwrap_or_default();
    let note = if next.skipped { Word::LeftOut.text(shared.language()) } else { "" };
    let role = if next.skipped { Role::Dim } else { Role::Plain };
    vec![Piece::new(at, role), Piece::new(shared.relative(Some(&next.fires_at)), role), Piece::new(note, Role::Warn)]
}

fn past_time(firing: &Firing, zone: &str, shared: &Shared) -> Vec<Piece> {
    let at = time::parse(&firing.nominal_at).map(|at| time::day_and_clock(at, zone)).unwrap_or_default();
    let (sign, role) = sign(firing);
    let many = if firing.count > 1 { format!("x{}", count(firing.count)) } else { String::new() };
    let late = firing.late_ms.map(|ms| ms / 1_000).filter(|seconds| *seconds > 0);
    let late = late.map(|seconds| Word::SoLate.with(shared.language(), &[&time::span(seconds)])).unwrap_or_default();
    vec![
        Piece::new(format!("{sign} {at}"), Role::Dim),
        Piece::new(verdict(&firing.verdict, shared.language()), role),
        Piece::new(firing.run.as_deref().unwrap_or_default(), Role::Dim),
        Piece::new(many, Role::Plain),
        Piece::new(late, Role::Warn),
    ]
}
