//! Jobs that remove what is old.

use std::time::Duration;

use tidings_model::State;
use tidings_model::limits::RUN_PROGRESS_EVERY;
use tidings_store::{RunNote, Sweep};
use tokio::time::Instant;

use super::{Course, Cut, Outcome};
use crate::writer::look;

impl Course<'_> {
    pub(super) async fn purge_credentials(&self) -> Result<Outcome, Cut> {
        let (removed, unused) = self.sweep(Sweep::Credentials { after: 0 }).await?;
        Ok(Outcome::of(removed, format!("{unused} unused and {} used credentials removed", removed - unused)))
    }

    /// Messages that have ended, and nothing else: what is under way stays however old it is. Their idempotency keys stay, too.
    pub(super) async fn purge_messages(&self, states: &[State], older_than: Duration) -> Result<Outcome, Cut> {
        let before = self.jobs.clock.now().before(older_than);
        let (removed, _) = self.sweep(Sweep::Ended { after: 0, states: states.to_vec(), before }).await?;
        Ok(Outcome::of(removed, format!("{removed} messages removed that had ended before {}", before.to_rfc3339())))
    }

    /// Walks through a table slice by slice: how many rows left, and how many of them were credentials with uses left.
    async fn sweep(&self, first: Sweep) -> Result<(u64, u64), Cut> {
        let (mut removed, mut unused) = (0_u64, 0_u64);
        let mut told_at = Instant::now();
        let mut slice = Some(first);
        while let Some(sweep) = slice {
            if self.is_stopping() {
                return Err(Cut::Stopped);
            }
            if let Some(problem) = look(&self.jobs.lanes).clock_problem.clone() {
                return Err(Cut::Failed(problem));
            }
            let swept = self.jobs.writer.sweep(sweep).await?;
            unused += u64::from(swept.unused);
            removed += u64::from(swept.removed);
            slice = swept.next;
            if told_at.elapsed() >= RUN_PROGRESS_EVERY {
                told_at = Instant::now();
                self.write(RunNote { done: Some(removed), ..self.note() }).await;
            }
        }
        Ok((removed, unused))
    }
}
