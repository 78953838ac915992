//! Jobs: what a schedule does, a file for each kind. Each may run twice: a token is fetched again, what is purged is gone,
//! and a broadcast goes on where it was.
//!
//! A run has a deadline, a log and a result in the store. It ends in one of four ways: its job came to its end, or failed,
//! or its time was over, or an operator cancelled it. An engine that stops leaves it open for the next start.

mod backup;
mod broadcast;
mod preflight;
mod purge;
mod token;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidings_model::{Clock, RunId, RunState, ScheduleName, Timestamp};
use tidings_store::{AuditEntry, Reader, RunBegin, RunLevel, RunLine, RunNote, RunRow};
use tokio::sync::watch;
use tokio::task::JoinError;

use crate::acts::By;
use crate::config::{Job, Task};
use crate::definitions::Present;
use crate::handle::EngineHandle;
use crate::http::Http;
use crate::refusal::{Class, Refusal};
use crate::writer::{SharedLanes, WriterHandle};
pub use preflight::{Preflight, Unreachable};

/// Between tries when the store does not take something.
const STEP_WAIT: Duration = Duration::from_secs(1);
/// Between two looks at the wall clock, which somebody may set.
const CLOCK_LOOK: Duration = Duration::from_secs(1);

/// Of a run that nobody can go on with.
const ABANDONED: &str = "the engine stopped in the middle of it";

/// What became of a run whose task ended before its job did: the task was dropped with the runtime, or it panicked.
fn end_of(error: &JoinError) -> (RunState, &'static str) {
    if error.is_panic() {
        // What it panicked with may hold anything: the log has where, and nobody else is told more.
        return (RunState::Failed, "its job panicked, which is a mistake of the program: the engine's log says where");
    }
    (RunState::Interrupted, ABANDONED)
}

/// What jobs need, and the runs that go on.
pub(crate) struct Jobs {
    pub(crate) present: Present,
    pub(crate) reader: Reader,
    pub(crate) writer: WriterHandle,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) http: Http,
    pub(crate) lanes: SharedLanes,
    /// Held while a backup is made.
    pub(crate) backing_up: Arc<tokio::sync::Mutex<()>>,
    /// Held while somebody waits for a preflight.
    pub(crate) looking: tokio::sync::Mutex<()>,
    pub(crate) under_way: Mutex<HashMap<RunId, watch::Sender<bool>>>,
}

/// Why a job stopped before its end.
enum Cut {
    /// It failed.
    Failed(String),
    /// The engine stops: the run stays open and goes on at the next start.
    Stopped,
    /// Somebody ended it, and wrote so.
    Over,
}

impl From<Refusal> for Cut {
    fn from(refusal: Refusal) -> Cut {
        Cut::Failed(refusal.detail)
    }
}

/// What a job came to.
struct Outcome {
    /// Parts done, where no step has written that.
    done: Option<u64>,
    /// For people.
    result: String,
}

impl Outcome {
    fn of(done: u64, result: impl Into<String>) -> Outcome {
        Outcome { done: Some(done), result: result.into() }
    }
}

/// Takes a run off the list of those under way, however it ends.
struct Leave<'a> {
    jobs: &'a Jobs,
    run: RunId,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.jobs.under_way().remove(&self.run);
    }
}

/// A run under way.
struct Course<'a> {
    jobs: &'a Jobs,
    schedule: &'a ScheduleName,
    /// As it stood in the store when it began or went on.
    row: RunRow,
    deadline_at: Timestamp,
    stop: watch::Receiver<bool>,
    cancelled: watch::Receiver<bool>,
}

impl Jobs {
    /// Carries a job out, or goes on with it, and writes what came of it.
    pub(crate) async fn carry_out(
        &self,
        run: RunId,
        schedule: &ScheduleName,
        job: &Job,
        mut stop: watch::Receiver<bool>,
    ) {
        let Some(row) = self.row(run, &mut stop).await else { return };
        let (sender, cancelled) = watch::channel(false);
        self.under_way().insert(run, sender);
        let _leave = Leave { jobs: self, run };
        let deadline_at = row.deadline_at.unwrap_or_else(|| row.started_at.after(job.deadline));
        let course = Course { jobs: self, schedule, row, deadline_at, stop, cancelled };
        let ended = course.run(job).await;
        let (state, outcome) = match ended {
            Ok(outcome) => (RunState::Done, outcome),
            Err(Cut::Failed(reason)) => (RunState::Failed, Outcome { done: None, result: reason }),
            Err(Cut::Over) => {
                tracing::info!(%run, "run cancelled");
                return;
            }
            Err(Cut::Stopped) => return,
        };
        let result = &outcome.result;
        match state {
            RunState::Done => tracing::info!(%run, schedule = %schedule, "run done: {result}"),
            _ => tracing::error!(%run, schedule = %schedule, "run failed: {result}"),
        }
        let note = RunNote { done: outcome.done, total: outcome.done, ..course.note() };
        course.write(RunNote { ended: Some((state, outcome.result)), ..note }).await;
    }

    /// The run as it stands; `None` if the engine stops before it can be read, or if it has ended.
    async fn row(&self, run: RunId, stop: &mut watch::Receiver<bool>) -> Option<RunRow> {
        loop {
            match self.reader.run(run).await {
                Ok(row) => return row.filter(|row| row.state == RunState::Running),
                Err(error) => self.writer.warn_unless_away(format_args!("read run {run}: {error}")),
            }
            tokio::select! {
                () = tokio::time::sleep(STEP_WAIT) => {}
                _ = stop.changed() => {}
            }
            if *stop.borrow() {
                return None;
            }
        }
    }

    /// Tells a run as interrupted that nobody can go on with.
    pub(crate) async fn abandon(&self, run: RunId, schedule: &str) {
        self.end(run, schedule, RunState::Interrupted, ABANDONED).await;
    }

    /// Tells what became of a run whose task ended before its job did.
    pub(crate) async fn broke_off(&self, run: RunId, schedule: &str, error: &JoinError) {
        let (state, reason) = end_of(error);
        self.end(run, schedule, state, reason).await;
    }

    /// Ends a run that goes on, and whoever carries it out. False if it was over. Nothing more of it is accepted then.
    pub(crate) async fn cancel(
        &self,
        run: RunId,
        schedule: &str,
        reason: String,
        entry: Option<AuditEntry>,
    ) -> Result<bool, Refusal> {
        let log = vec![warn(reason.clone())];
        let note = RunNote { log, ..RunNote::end(run, schedule, RunState::Cancelled, reason) };
        let was_running = self.writer.run(note, entry).await?;
        if let Some(cancelled) = self.under_way().get(&run) {
            cancelled.send_replace(true);
        }
        Ok(was_running)
    }

    async fn end(&self, run: RunId, schedule: &str, state: RunState, reason: &str) {
        let note = RunNote::end(run, schedule, state, reason);
        if let Err(refusal) = self.writer.run(note, None).await {
            self.writer.warn_unless_away(format_args!("note run {run}: {refusal}"));
        }
    }

    fn under_way(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, watch::Sender<bool>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Course<'_> {
    async fn run(&self, job: &Job) -> Result<Outcome, Cut> {
        let resumed = self.row.deadline_at.is_some() || self.row.step < 0;
        let text = if resumed { "it goes on after the engine had stopped in the middle of it" } else { "it begins" };
        let begin = Some(RunBegin { deadline_at: self.deadline_at, resumed });
        let log = vec![info(format!("{text}: {}", job.describe()))];
        self.write(RunNote { begin, log, ..self.note() }).await;
        let mut cancelled = self.cancelled.clone();
        tokio::select! {
            biased;
            // Whoever could cancel it goes with the engine.
            Ok(_) = cancelled.wait_for(|cancelled| *cancelled) => Err(Cut::Over),
            () = self.late() => Err(Cut::Failed(format!(
                "its deadline, {}, is over; what was done until then stays done",
                self.deadline_at.to_rfc3339()
            ))),
            result = self.work(&job.task) => result,
        }
    }

    async fn work(&self, task: &Task) -> Result<Outcome, Cut> {
        match task {
            Task::RefreshToken(app) => self.jobs.refresh_token(app).await,
            Task::Probe(app) => self.jobs.probe(app).await,
            Task::PurgeCredentials => self.purge_credentials().await,
            Task::PurgeMessages { states, older_than } => self.purge_messages(states, *older_than).await,
            Task::Backup { folder, keep } => self.backup(folder, *keep).await,
            Task::Send(what) => broadcast::Sending::new(self, what).send().await,
        }
    }

    /// Returns when the deadline is over, by the wall clock.
    async fn late(&self) {
        loop {
            let left = self.deadline_at.since(self.jobs.clock.now());
            if left == Duration::ZERO {
                return;
            }
            tokio::time::sleep(left.min(CLOCK_LOOK)).await;
        }
    }

    fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Waits, unless the engine stops.
    async fn wait(&self, wait: Duration) -> Result<(), Cut> {
        let mut stop = self.stop.clone();
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            _ = stop.wait_for(|stop| *stop) => Err(Cut::Stopped),
        }
    }

    fn note(&self) -> RunNote {
        RunNote::of(self.row.id, self.schedule.as_str())
    }

    /// Writes what the run says of itself, however long the store takes to come back.
    async fn write(&self, note: RunNote) {
        loop {
            match self.jobs.writer.run(note.clone(), None).await {
                Ok(_) => return,
                Err(refusal) => {
                    self.jobs.writer.warn_unless_away(format_args!("note run {}: {refusal}", self.row.id));
                }
            }
            if self.wait(STEP_WAIT).await.is_err() {
                return;
            }
        }
    }
}

fn info(text: impl Into<String>) -> RunLine {
    RunLine { level: RunLevel::Info, text: text.into() }
}

fn warn(text: impl Into<String>) -> RunLine {
    RunLine { level: RunLevel::Warn, text: text.into() }
}

impl EngineHandle {
    /// Ends a run that goes on: nothing more of it is accepted once this is answered. What was accepted goes on.
    pub async fn cancel_run(&self, run: RunId, by: &By) -> Result<RunRow, Refusal> {
        let row = self.run(run).await?;
        let result = by.why().map_or_else(String::new, |why| format!(": {why}"));
        let result = format!("cancelled by {}{result}", by.who());
        let entry = by.entry("run.cancel", run.to_string());
        let was_running = self.shared.jobs.cancel(run, &row.schedule, result, Some(entry)).await?;
        let row = self.run(run).await?;
        if was_running {
            return Ok(row);
        }
        Err(Refusal::new(
            Class::Conflict,
            "run-over",
            format!("{run} is {}; only a running one is cancelled", row.state),
        ))
    }

    /// One run.
    pub async fn run(&self, run: RunId) -> Result<RunRow, Refusal> {
        let row = self.reader().run(run).await?;
        row.ok_or_else(|| Refusal::not_found("run-unknown", format!("there is no run {run}")))
    }

    /// Who a schedule's broadcast would reach now, and why it would not reach the others. Nothing is sent, spent or written.
    /// One at a time: each reads its whole audience.
    pub async fn preflight(&self, schedule: &str) -> Result<Preflight, Refusal> {
        let definitions = self.definitions();
        let schedules = &definitions.config.schedules;
        let Some(config) = schedules.get(schedule) else {
            let known: Vec<&str> = schedules.keys().map(ScheduleName::as_str).collect();
            let shown: String = schedule.chars().take(64).flat_map(char::escape_debug).collect();
            return Err(Refusal::not_found("schedule-unknown", crate::config::no_such("schedule", &shown, &known)));
        };
        let Task::Send(what) = &config.job.task else {
            let detail = format!("schedule `{schedule}` sends nothing: its job is `{}`", config.job.describe());
            return Err(Refusal::new(Class::Conflict, "no-broadcast", detail));
        };
        let Ok(_turn) = self.shared.jobs.looking.try_lock() else {
            return Err(Refusal::new(
                Class::Unavailable,
                "busy",
                "another preflight is made; ask again when it is over",
            ));
        };
        self.shared.jobs.preflight(what).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_job_that_panics_has_failed_and_one_that_the_engine_dropped_was_interrupted() {
        let error = tokio::spawn(async { panic!("a secret in its words") }).await.unwrap_err();
        let (state, reason) = end_of(&error);
        assert_eq!(state, RunState::Failed);
        assert!(reason.contains("panicked") && !reason.contains("secret"), "{reason}");
        let dropped = tokio::spawn(std::future::pending::<()>());
        dropped.abort();
        assert_eq!(end_of(&dropped.await.unwrap_err()).0, RunState::Interrupted);
    }
}
