//! The scheduler: fires cron lines from a cursor in the store, so that a restart neither loses a time nor fires it twice.
//!
//! [`plan`] decides of one schedule and [`agenda`] of all of them, purely, with the time passed in. The task here asks them,
//! writes their verdicts in one transaction with the runs they begin, and only then starts the jobs. While the store is
//! away no cursor moves.

mod acts;
mod agenda;
mod plan;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tidings_model::limits::FIRINGS_PER_STEP_MAX;
use tidings_model::{Clock, RunId, ScheduleName, Timestamp};
use tidings_store::{Reader, RunOwner, RunRow, ScheduleRow};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use acts::Ask;
pub(crate) use acts::ScheduleDesk;
use agenda::{Agenda, Begin, Decisions};
pub use view::{BackfillPlan, NextTime, ScheduleDetail, ScheduleState, ScheduleView};

use crate::definitions::Present;
use crate::jobs::Jobs;
use crate::measure::Measures;
use crate::nodes::Accord;
use crate::refusal::Refusal;
use crate::writer::look;

/// The longest sleep: a wall clock that was set, or a machine that slept, is noticed within it.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// A run that was interrupted goes on only for so long after it began: the keys that keep it from sending a row twice
/// are remembered for three times as long.
const RESUME_WITHIN: Duration = Duration::from_secs(24 * 3600);
/// Runs that wait at most until everything is decided that was due with them.
const BEGUN_MAX: usize = 10_000;
/// Runs that may end before the scheduler hears of them.
const ENDED_MAX: usize = 256;

/// The task.
pub(crate) struct Scheduler {
    pub(crate) present: Present,
    pub(crate) reader: Reader,
    /// Runs that a crash interrupted.
    pub(crate) unfinished: Vec<RunRow>,
    pub(crate) asks: mpsc::Receiver<Ask>,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) measures: Arc<Measures>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Other engines fire these schedules too, and operators act on them there.
    pub(crate) is_shared: bool,
    /// Whether what config does not have may be let go of.
    pub(crate) accord: Accord,
    pub(crate) stop: watch::Receiver<bool>,
}

/// A run that has ended.
type Ended = (ScheduleName, RunId);

/// The runs under way, and where their ends are told.
struct Running {
    tasks: JoinSet<()>,
    ended: mpsc::Sender<Ended>,
    /// Runs that are on disk and wait to be carried out until everything is decided that was due with the first of them:
    /// what they write would hold up the decisions behind them.
    begun: Vec<Begin>,
    /// When the first of them was decided.
    begun_at: Timestamp,
    /// Runs of engines that are gone which are left to an engine whose config has their schedule.
    left: BTreeSet<RunId>,
}

impl Scheduler {
    /// Runs until it is told to stop. Jobs under way then stop at their next step; a broadcast goes on where it was at
    /// the next start.
    pub(crate) async fn run(mut self) {
        let (ended, mut ends) = mpsc::channel(ENDED_MAX);
        let (tasks, begun, left) = (JoinSet::new(), Vec::new(), BTreeSet::new());
        let mut running = Running { tasks, ended, begun, begun_at: Timestamp(0), left };
        let mut agenda = self.define(&Agenda::default()).await;
        let left = std::mem::take(&mut self.unfinished).into_iter().filter(|run| run.owner != RunOwner::Another);
        self.resume(left.collect(), &mut agenda, &mut running).await;
        // Not before this instant: the store did not take the last step.
        let mut not_before = None;
        let mut looked_at = tokio::time::Instant::now();
        while !*self.stop.borrow() {
            if !agenda.left().is_empty() && self.lets_go() {
                agenda = self.define(&agenda).await;
            }
            let now = self.clock.now();
            let wait = match not_before {
                Some(at) if tokio::time::Instant::now() < at => SLEEP_MAX,
                // Nobody fires by a clock that is off.
                _ if look(&self.jobs.lanes).clock_problem.is_some() => SLEEP_MAX,
                _ => match self
                    .step(&mut agenda, &mut running, now, not_before.is_some() || self.looks_around(&mut looked_at))
                    .await
                {
                    Ok(wait) => {
                        not_before = None;
                        wait
                    }
                    Err(refusal) => {
                        self.jobs.writer.warn_unless_away(format_args!("fire schedules: {refusal}"));
                        self.start_begun(&agenda, &mut running);
                        not_before = Some(tokio::time::Instant::now() + SLEEP_MAX);
                        SLEEP_MAX
                    }
                },
            };
            tokio::select! {
                Some((name, run)) = ends.recv() => agenda.ended(&name, run, self.clock.now()),
                Some(joined) = running.tasks.join_next() => {
                    if let Err(error) = joined {
                        tracing::error!("a job ended badly: {error}");
                    }
                }
                Some(ask) = self.asks.recv() => {
                    if !self.answer(&mut agenda, &mut running, ask).await {
                        not_before = Some(tokio::time::Instant::now());
                    }
                }
                () = tokio::time::sleep(wait) => {}
                Ok(()) = self.present.changed() => {
                    agenda = self.define(&agenda).await;
                    let ended = match self.reader.unfinished_runs().await {
                        Ok(unfinished) => self.end_removed(&agenda, &unfinished).await,
                        Err(error) => Err(error.into()),
                    };
                    if let Err(refusal) = ended {
                        let what = format_args!("end the runs of schedules that left config: {refusal}");
                        self.jobs.writer.warn_unless_away(what);
                        not_before = Some(tokio::time::Instant::now() + SLEEP_MAX);
                    }
                }
                changed = self.stop.changed() => {
                    // Whoever could say "stop" and is gone has said it.
                    if changed.is_err() {
                        break;
                    }
                }
            }
        }
        // Whoever asks now is told that the engine stops.
        self.asks.close();
        drop(ends);
        while running.tasks.join_next().await.is_some() {}
    }

    /// Whether it is time to look what other engines did.
    fn looks_around(&self, looked_at: &mut tokio::time::Instant) -> bool {
        let looks = self.is_shared && looked_at.elapsed() >= SLEEP_MAX;
        if looks {
            *looked_at = tokio::time::Instant::now();
        }
        looks
    }

    /// Fires what is due, and says how long to sleep. With `in_doubt` what the store has is looked up first.
    async fn step(
        &self,
        agenda: &mut Agenda,
        running: &mut Running,
        now: Timestamp,
        in_doubt: bool,
    ) -> Result<Duration, Refusal> {
        if in_doubt {
            let (stored, unfinished) = (self.reader.schedules().await?, self.reader.unfinished_runs().await?);
            for begin in agenda.adopt(&stored, &unfinished) {
                self.start(agenda, begin, running);
            }
            self.end_removed(agenda, &unfinished).await?;
            // One that is being taken on is its former engine's until that is written.
            let is_left = |run: &RunRow| run.owner == RunOwner::Gone && !agenda.carries(run.id);
            let left: Vec<RunRow> = unfinished.into_iter().filter(is_left).collect();
            self.resume(left, agenda, running).await;
        }
        let decisions = agenda.decide(now, FIRINGS_PER_STEP_MAX);
        if !decisions.is_empty() {
            self.write(agenda, running, decisions, now).await?;
        }
        let next = agenda.next_wake();
        // Half a millisecond up, so that the wake does not come just before the instant.
        let wait = next.map_or(SLEEP_MAX, |at| match at.since(self.clock.now()) {
            Duration::ZERO => Duration::ZERO,
            wait => (wait + Duration::from_micros(500)).min(SLEEP_MAX),
        });
        if next.is_none_or(|next| next > running.begun_at) || running.begun.len() >= BEGUN_MAX {
            self.start_begun(agenda, running);
        }
        Ok(wait)
    }

    /// Writes what was decided, and has the runs that it begins wait to be carried out.
    async fn write(
        &self,
        agenda: &mut Agenda,
        running: &mut Running,
        decisions: Decisions,
        now: Timestamp,
    ) -> Result<Option<RunId>, Refusal> {
        let Decisions { firings, changes, entry } = decisions.clone();
        let fired = self.jobs.writer.fire(firings, changes, entry).await?;
        let begun = agenda.settle(&decisions, &fired);
        let first = begun.first().map(|begin| begin.run);
        for begin in begun {
            if let Some(late) = begin.late {
                self.measures.fired(late + self.clock.now().since(now));
            }
            if running.begun.is_empty() {
                running.begun_at = now;
            }
            running.begun.push(begin);
        }
        Ok(first)
    }

    /// Carries an operator's act out. False if nobody can say whether it is done.
    async fn answer(&self, agenda: &mut Agenda, running: &mut Running, ask: Ask) -> bool {
        let Ask { schedule, act, by, reply } = ask;
        let now = self.clock.now();
        let (answer, is_certain) = match agenda.act(&schedule, act, &by, now) {
            Ok(decisions) => {
                let written = self.write(agenda, running, decisions, now).await;
                self.start_begun(agenda, running);
                let is_certain = written.is_ok();
                (written, is_certain)
            }
            Err(refusal) => (Err(refusal), true),
        };
        // A caller that no longer waits is none of our business.
        drop(reply.send(answer));
        is_certain
    }

    /// The schedules of config with what the store knows of them, and the runs of the agenda before.
    async fn define(&mut self, before: &Agenda) -> Agenda {
        let stored = self.stored().await;
        let definitions = Arc::clone(&self.present.borrow_and_update());
        let lets_go = self.accord.holds_for(&definitions.config);
        let (agenda, decisions) =
            Agenda::define(before, &stored, &definitions.config.schedules, self.clock.now(), lets_go);
        for schedule in agenda.left().difference(before.left()) {
            tracing::warn!(
                %schedule,
                "config does not have this schedule, and another engine is there whose config may: it is not removed before \
                 both have gone by the same config for a while"
            );
        }
        let Decisions { firings, changes, .. } = decisions;
        // The changes come with the last of them: a schedule is noted before it is removed.
        let mut changes = Some(changes).filter(|changes| !changes.is_empty());
        let mut steps = firings.chunks(FIRINGS_PER_STEP_MAX).peekable();
        while let Some(step) = steps.next() {
            let changes = if steps.peek().is_none() { changes.take() } else { None };
            let changes = changes.unwrap_or_default();
            while let Err(refusal) = self.jobs.writer.fire(step.to_vec(), changes.clone(), None).await {
                self.jobs.writer.warn_unless_away(format_args!("note the schedules: {refusal}"));
                tokio::time::sleep(SLEEP_MAX).await;
                if *self.stop.borrow() {
                    return agenda;
                }
            }
        }
        agenda
    }

    fn lets_go(&self) -> bool {
        self.accord.holds_for(&self.present.borrow().config)
    }

    /// Ends the runs of schedules that config has no more, whether or not somebody carries them out: a schedule that is
    /// removed stops.
    async fn end_removed(&self, agenda: &Agenda, unfinished: &[RunRow]) -> Result<(), Refusal> {
        for run in agenda.removed(unfinished) {
            let reason = format!("schedule `{}` left config while it ran", run.schedule);
            tracing::warn!(run = %run.id, "run cancelled: {reason}");
            self.jobs.cancel(run.id, &run.schedule, reason, None).await?;
        }
        Ok(())
    }

    /// What the store knows of schedules. Nothing is fired before that is known: a cursor that is guessed fires twice.
    async fn stored(&mut self) -> Vec<ScheduleRow> {
        loop {
            match self.reader.schedules().await {
                Ok(stored) => return stored,
                Err(error) => self.jobs.writer.warn_unless_away(format_args!("read the schedules: {error}")),
            }
            tokio::time::sleep(SLEEP_MAX).await;
            if *self.stop.borrow() {
                return Vec::new();
            }
        }
    }

    /// Goes on with what a crash interrupted, of this engine before its start or of another: a broadcast where it was, the
    /// rest is told as failed.
    async fn resume(&self, runs: Vec<RunRow>, agenda: &mut Agenda, running: &mut Running) {
        for run in runs {
            let is_young = self.clock.now().since(run.started_at) < RESUME_WITHIN;
            let same_job = |name: &ScheduleName| agenda.config(name).is_some_and(|it| it.job.describe() == run.job);
            match ScheduleName::new(run.schedule.as_str()) {
                Ok(name) if is_young && same_job(&name) => {
                    tracing::info!(run = %run.id, schedule = %name, "run goes on after an interruption");
                    agenda.resume(&name, run.id);
                    let begin = Begin { schedule: name, run: run.id, nominal: run.nominal_at, late: None };
                    self.start(agenda, begin, running);
                }
                _ if is_young && !self.lets_go() => {
                    if running.left.insert(run.id) {
                        tracing::warn!(
                            run = %run.id,
                            schedule = run.schedule,
                            "run was interrupted, and its schedule is not so in config: it is left to an engine whose config \
                             has it, as long as one may be there"
                        );
                    }
                }
                _ => self.jobs.abandon(run.id, &run.schedule).await,
            }
        }
    }

    fn start_begun(&self, agenda: &Agenda, running: &mut Running) {
        for begin in std::mem::take(&mut running.begun) {
            self.start(agenda, begin, running);
        }
    }

    fn start(&self, agenda: &Agenda, begin: Begin, running: &mut Running) {
        let Begin { schedule: name, run, nominal, .. } = begin;
        let Some(config) = agenda.config(&name) else { return };
        tracing::info!(schedule = %name, %run, nominal = %nominal, "schedule fired");
        let (jobs, job, stop) = (Arc::clone(&self.jobs), config.job.clone(), self.stop.clone());
        let ended = running.ended.clone();
        running.tasks.spawn(async move {
            let carrying = tokio::spawn({
                let (jobs, name) = (Arc::clone(&jobs), name.clone());
                async move { jobs.carry_out(run, &name, &job, stop).await }
            });
            if let Err(error) = carrying.await {
                tracing::error!(%run, "a job ended badly: {error}");
                jobs.broke_off(run, name.as_str(), &error).await;
            }
            // Nobody listens any more when the scheduler has stopped, and then nobody needs to.
            drop(ended.send((name, run)).await);
        });
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
