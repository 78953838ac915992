//! Firings and runs: (schedule, nominal time) is unique in the transaction that begins the run.

use tidings_model::RunId;

use super::tick::{Step, apart};
use crate::batch::{Fired, Firing};
use crate::error::StoreError;

impl Step<'_> {
    pub(super) async fn fire(&mut self, firing: &Firing) -> Result<Fired, StoreError> {
        let during = || StoreError::during("fire a schedule");
        let mut fired = Fired::Nothing;
        let name = firing.schedule.as_str();
        if let Some((nominal, job)) = &firing.run {
            let before: Option<i64> =
                sqlx::query_scalar("SELECT 1 FROM firing WHERE schedule = ?1 AND nominal_at = ?2")
                    .bind(name)
                    .bind(nominal.0)
                    .fetch_optional(&mut *self.connection)
                    .await
                    .map_err(during())?;
            if before.is_some() {
                fired = Fired::Before;
            } else {
                // A time that has a run and no verdict was fired too: its key refuses the second.
                let sql = "INSERT INTO run (schedule, nominal_at, job, state, started_at) VALUES (?1, ?2, ?3, 0, ?4)
                           ON CONFLICT (schedule, nominal_at) DO NOTHING RETURNING id";
                let id: Option<i64> = sqlx::query_scalar(sql)
                    .bind(name)
                    .bind(nominal.0)
                    .bind(job)
                    .bind(self.now.0)
                    .fetch_optional(&mut *self.connection)
                    .await
                    .map_err(during())?;
                fired = id.map_or(Fired::Before, |id| Fired::Run(RunId(id)));
            }
        }
        for (nominal, verdict) in &firing.verdicts {
            let run = match (fired, &firing.run) {
                (Fired::Run(id), Some((at, _))) if at == nominal => Some(id.0),
                _ => None,
            };
            sqlx::query("INSERT OR IGNORE INTO firing (schedule, nominal_at, verdict, decided_at, run_id) VALUES (?1, ?2, ?3, ?4, ?5)")
                .bind(name)
                .bind(nominal.0)
                .bind(verdict.as_str())
                .bind(self.now.0)
                .bind(run)
                .execute(&mut *self.connection)
                .await
                .map_err(during())?;
        }
        let (paused_at, note) = apart(firing.paused.as_ref());
        // The cursor never moves back, whatever the clock does.
        sqlx::query(
            "INSERT INTO schedule (name, definition, cursor_at, next_at, paused_at, pause_note) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (name) DO UPDATE SET definition = excluded.definition, cursor_at = max(cursor_at, excluded.cursor_at),
                 next_at = excluded.next_at, paused_at = excluded.paused_at, pause_note = excluded.pause_note",
        )
        .bind(name)
        .bind(&firing.definition)
        .bind(firing.cursor_at.0)
        .bind(firing.next_at.map(|at| at.0))
        .bind(paused_at)
        .bind(note)
        .execute(&mut *self.connection)
        .await
        .map_err(during())?;
        Ok(fired)
    }
}
