//! Jobs: what a schedule does, a file for each kind. Each may run twice: a token is fetched again, what is purged is gone,
//! and a broadcast gives every row a key of its run.

mod broadcast;
mod purge;
mod token;

use std::sync::Arc;

use tidings_model::{Clock, RunId, ScheduleName, Timestamp};
use tidings_store::{Reader, RunProgress};
use tokio::sync::watch;

use crate::config::{Job, Task};
use crate::definitions::Present;
use crate::refusal::Refusal;
use crate::writer::WriterHandle;
use broadcast::{Broadcast, Count};

/// What jobs need.
pub(crate) struct Jobs {
    pub(crate) present: Present,
    pub(crate) reader: Reader,
    pub(crate) writer: WriterHandle,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Why a job stopped before its end.
enum Cut {
    /// It failed.
    Failed(String),
    /// The engine stops: the run stays open and goes on at the next start.
    Stopped,
}

impl From<Refusal> for Cut {
    fn from(refusal: Refusal) -> Cut {
        Cut::Failed(refusal.detail)
    }
}

impl Jobs {
    /// Carries a job out and writes what came of it.
    pub(crate) async fn carry_out(
        &self,
        run: RunId,
        schedule: &ScheduleName,
        nominal: Timestamp,
        job: &Job,
        stop: watch::Receiver<bool>,
    ) {
        let result = match &job.task {
            Task::RefreshToken(app) => self.refresh_token(app).await,
            Task::Probe(app) => self.probe(app).await,
            Task::PurgeCredentials => self.purge_credentials().await,
            Task::PurgeMessages { .. } | Task::Backup { .. } => Err(Cut::Failed("not there yet".to_owned())),
            Task::Send(what) => {
                let broadcast = Broadcast { jobs: self, run, schedule, what, stop, count: Count::default() };
                broadcast.send(nominal).await
            }
        };
        let (done, ended) = match result {
            Ok((done, result)) => (done, Ok(result)),
            Err(Cut::Failed(reason)) => (0, Err(reason)),
            Err(Cut::Stopped) => return,
        };
        match &ended {
            Ok(result) => tracing::info!(%run, "run done: {result}"),
            Err(reason) => tracing::error!(%run, "run failed: {reason}"),
        }
        let schedule = schedule.as_str().to_owned();
        self.note(RunProgress { run, schedule, done, total: None, ended: Some(ended) }).await;
    }

    /// Tells a run as failed that nobody can go on with.
    pub(crate) async fn abandon(&self, run: RunId, schedule: &str) {
        let ended = Some(Err("the engine stopped in the middle of it".to_owned()));
        self.note(RunProgress { run, schedule: schedule.to_owned(), done: 0, total: None, ended }).await;
    }

    async fn note(&self, progress: RunProgress) {
        let run = progress.run;
        if let Err(refusal) = self.writer.run(progress).await {
            tracing::warn!(%run, "note a run: {refusal}");
        }
    }
}
