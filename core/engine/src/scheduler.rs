//! The scheduler: fires cron lines from a cursor in the store, so that a restart neither loses a time nor fires it twice.
//!
//! [`plan`] decides, purely; the task asks it, writes its verdicts in one transaction with the run they begin, and only
//! then starts the job. While the store is away the cursor does not move.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidings_model::{Clock, RunId, ScheduleName, Timestamp};
use tidings_store::{Fired, Firing, Reader, RunRow, ScheduleRow, Verdict};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::config::{Missed, Overlap, ScheduleConfig};
use crate::definitions::Present;
use crate::jobs::Jobs;
use crate::measure::Measures;

/// A nominal time is missed when nobody was there for so long after it.
const LATE_AFTER: Duration = Duration::from_secs(60);
/// Missed times that are run after all.
const CATCH_UP_MAX: usize = 100;
/// Nominal times decided in one transaction.
const VERDICTS_MAX: usize = 1000;
/// The longest sleep: a wall clock that was set, or a machine that slept, is noticed within it.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// A run that was interrupted goes on only for so long after it began: the keys that keep it from sending a row twice
/// are remembered for three times as long.
const RESUME_WITHIN: Duration = Duration::from_secs(24 * 3600);
/// Runs that may end before the scheduler hears of them.
const ENDED_MAX: usize = 256;

/// What to do about the nominal times after the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// A verdict for each, in order.
    pub(crate) verdicts: Vec<(Timestamp, Verdict)>,
    /// The one to run.
    pub(crate) run: Option<Timestamp>,
    /// The last one that has a verdict.
    pub(crate) cursor: Timestamp,
}

/// Decides. `None` if no nominal time lies between the cursor and now, or if the only thing to do is to wait for the
/// last run to end.
pub(crate) fn plan(
    config: &ScheduleConfig,
    cursor: Timestamp,
    now: Timestamp,
    running: bool,
    paused: bool,
) -> Option<Plan> {
    let due = due_times(config, cursor, now);
    let last = *due.last()?;
    // A full slice is not the end of the outage: what is to run for it stands in a later slice.
    let whole = config.cron.next_after(config.timezone, last.0).is_none_or(|next| next > now.0);
    if paused {
        return Some(all(&due, Verdict::Paused));
    }
    match config.missed {
        Missed::All => catch_up(&due, config.overlap, running, now),
        Missed::Once if whole => fire_last(&due, Verdict::Coalesced, config.overlap, running),
        Missed::Skip if whole && now.since(last) <= LATE_AFTER => {
            fire_last(&due, Verdict::Missed, config.overlap, running)
        }
        Missed::Once => Some(all(&due, Verdict::Coalesced)),
        Missed::Skip => Some(all(&due, Verdict::Missed)),
    }
}

/// Each in turn, the oldest first. One that is late waits for the run before it, whatever the overlap says: to skip it
/// would not be to catch up. Of a very long outage only the last are run.
fn catch_up(due: &[Timestamp], overlap: Overlap, running: bool, now: Timestamp) -> Option<Plan> {
    if due.len() > CATCH_UP_MAX {
        return Some(all(&due[..due.len() - CATCH_UP_MAX], Verdict::Missed));
    }
    if running && overlap == Overlap::Skip && now.since(due[0]) > LATE_AFTER {
        return None;
    }
    single(due[0], overlap, running)
}

fn due_times(config: &ScheduleConfig, cursor: Timestamp, now: Timestamp) -> Vec<Timestamp> {
    let mut due = Vec::new();
    let mut at = cursor.0;
    while due.len() < VERDICTS_MAX {
        match config.cron.next_after(config.timezone, at) {
            Some(next) if next <= now.0 => {
                due.push(Timestamp(next));
                at = next;
            }
            _ => break,
        }
    }
    due
}

fn all(due: &[Timestamp], verdict: Verdict) -> Plan {
    let cursor = *due.last().expect("only called with something due");
    Plan { verdicts: due.iter().map(|at| (*at, verdict)).collect(), run: None, cursor }
}

fn single(at: Timestamp, overlap: Overlap, running: bool) -> Option<Plan> {
    let (verdict, run) = match overlap {
        Overlap::Queue if running => return None,
        Overlap::Skip if running => (Verdict::SkippedOverlap, None),
        _ => (Verdict::Fired, Some(at)),
    };
    Some(Plan { verdicts: vec![(at, verdict)], run, cursor: at })
}

fn fire_last(due: &[Timestamp], before: Verdict, overlap: Overlap, running: bool) -> Option<Plan> {
    let (last, earlier) = due.split_last()?;
    let mut plan = single(*last, overlap, running)?;
    plan.verdicts = earlier.iter().map(|at| (*at, before)).chain(plan.verdicts).collect();
    Some(plan)
}

/// A schedule at work.
struct Standing {
    config: ScheduleConfig,
    cursor: Timestamp,
    paused: Option<(Timestamp, String)>,
    running: u32,
}

/// The task.
pub(crate) struct Scheduler {
    pub(crate) present: Present,
    pub(crate) reader: Reader,
    /// Runs that a crash interrupted.
    pub(crate) unfinished: Vec<RunRow>,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) measures: Arc<Measures>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stop: watch::Receiver<bool>,
}

impl Scheduler {
    /// Runs until it is told to stop. Jobs under way then stop at their next step; a broadcast goes on where it was at
    /// the next start.
    pub(crate) async fn run(mut self) {
        let mut standing = self.standing(BTreeMap::new()).await;
        let (ended, mut ends) = mpsc::channel::<ScheduleName>(ENDED_MAX);
        let mut running = JoinSet::new();
        self.resume(&mut standing, &ended, &mut running).await;
        while !*self.stop.borrow() {
            let wait = self.fire_due(&mut standing, &ended, &mut running).await;
            tokio::select! {
                Some(name) = ends.recv() => {
                    if let Some(schedule) = standing.get_mut(&name) {
                        schedule.running = schedule.running.saturating_sub(1);
                    }
                }
                Some(joined) = running.join_next() => {
                    if let Err(error) = joined {
                        tracing::error!("a job ended badly: {error}");
                    }
                }
                () = tokio::time::sleep(wait) => {}
                Ok(()) = self.present.changed() => standing = self.standing(standing).await,
                changed = self.stop.changed() => {
                    // Whoever could say "stop" and is gone has said it.
                    if changed.is_err() {
                        break;
                    }
                }
            }
        }
        while running.join_next().await.is_some() {}
    }

    /// The schedules of config with what the store knows of them, and how many runs of each go on.
    async fn standing(&mut self, before: BTreeMap<ScheduleName, Standing>) -> BTreeMap<ScheduleName, Standing> {
        let stored = self.stored().await;
        let definitions = Arc::clone(&self.present.borrow_and_update());
        let now = self.clock.now();
        let mut standing = BTreeMap::new();
        for (name, config) in &definitions.config.schedules {
            let stored = stored.iter().find(|row| row.name == name.as_str());
            // A new schedule, or one whose line changed, begins now: it does not run for times it did not have.
            let cursor = match stored {
                Some(row) if row.definition == config.definition => row.cursor_at,
                Some(row) => row.cursor_at.max(now),
                None => now,
            };
            let paused = stored.and_then(|row| row.paused.clone());
            let running = before.get(name).map_or(0, |before| before.running);
            let schedule = Standing { config: config.clone(), cursor, paused, running };
            let firing = schedule.firing(name, Plan { verdicts: Vec::new(), run: None, cursor });
            if let Err(refusal) = self.jobs.writer.fire(firing).await {
                tracing::warn!(schedule = %name, "note a schedule: {refusal}");
            }
            standing.insert(name.clone(), schedule);
        }
        standing
    }

    /// What the store knows of schedules. Nothing is fired before that is known: a cursor that is guessed fires twice.
    async fn stored(&self) -> Vec<ScheduleRow> {
        loop {
            match self.reader.schedules().await {
                Ok(stored) => return stored,
                Err(error) => tracing::warn!("read the schedules: {error}"),
            }
            tokio::time::sleep(SLEEP_MAX).await;
        }
    }

    /// Goes on with what a crash interrupted: a broadcast where it was, the rest is told as failed.
    async fn resume(
        &self,
        standing: &mut BTreeMap<ScheduleName, Standing>,
        ended: &mpsc::Sender<ScheduleName>,
        running: &mut JoinSet<()>,
    ) {
        for run in &self.unfinished {
            let found = standing.iter_mut().find(|(name, _)| name.as_str() == run.schedule);
            match found {
                Some((name, schedule))
                    if schedule.config.job.describe() == run.job
                        && self.clock.now().since(run.started_at) < RESUME_WITHIN =>
                {
                    tracing::info!(run = %run.id, schedule = %name, "run goes on after an interruption");
                    self.start(name, schedule, run.id, run.nominal_at, ended, running);
                }
                _ => self.jobs.abandon(run.id, &run.schedule).await,
            }
        }
    }

    /// Fires what is due, and says how long to sleep.
    async fn fire_due(
        &self,
        standing: &mut BTreeMap<ScheduleName, Standing>,
        ended: &mpsc::Sender<ScheduleName>,
        running: &mut JoinSet<()>,
    ) -> Duration {
        let mut wait = SLEEP_MAX;
        for (name, schedule) in standing.iter_mut() {
            let now = self.clock.now();
            let Some(plan) =
                plan(&schedule.config, schedule.cursor, now, schedule.running > 0, schedule.paused.is_some())
            else {
                // One that is due and waits for the last run to end is woken by that end.
                if let Some(next) = schedule.next().filter(|next| *next > now) {
                    wait = wait.min(next.since(now) + Duration::from_micros(500));
                }
                continue;
            };
            match self.jobs.writer.fire(schedule.firing(name, plan.clone())).await {
                Ok(fired) => {
                    schedule.cursor = plan.cursor;
                    wait = Duration::ZERO;
                    if let (Fired::Run(run), Some(nominal)) = (fired, plan.run) {
                        self.measures.fired(now.since(nominal));
                        tracing::info!(schedule = %name, %run, nominal = %nominal, "schedule fired");
                        self.start(name, schedule, run, nominal, ended, running);
                    }
                }
                Err(refusal) => tracing::warn!(schedule = %name, "fire a schedule: {refusal}"),
            }
        }
        wait
    }

    fn start(
        &self,
        name: &ScheduleName,
        schedule: &mut Standing,
        run: RunId,
        nominal: Timestamp,
        ended: &mpsc::Sender<ScheduleName>,
        running: &mut JoinSet<()>,
    ) {
        schedule.running += 1;
        let (jobs, job, stop) = (Arc::clone(&self.jobs), schedule.config.job.clone(), self.stop.clone());
        let (name, ended) = (name.clone(), ended.clone());
        running.spawn(async move {
            let carrying = tokio::spawn({
                let (jobs, name) = (Arc::clone(&jobs), name.clone());
                async move { jobs.carry_out(run, &name, nominal, &job, stop).await }
            });
            if let Err(error) = carrying.await {
                tracing::error!(%run, "a job ended badly: {error}");
                jobs.abandon(run, name.as_str()).await;
            }
            // Nobody listens any more when the scheduler has stopped, and then nobody needs to.
            drop(ended.send(name).await);
        });
    }
}

impl Standing {
    fn next(&self) -> Option<Timestamp> {
        self.config.cron.next_after(self.config.timezone, self.cursor.0).map(Timestamp)
    }

    fn firing(&self, name: &ScheduleName, plan: Plan) -> Firing {
        let next_at = self.config.cron.next_after(self.config.timezone, plan.cursor.0).map(Timestamp);
        Firing {
            schedule: name.clone(),
            definition: self.config.definition.clone(),
            verdicts: plan.verdicts,
            run: plan.run.map(|at| (at, self.config.job.describe())),
            cursor_at: plan.cursor,
            next_at,
            paused: self.paused.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
