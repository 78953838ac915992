//! Who waits for a credential is asked again when one comes, or comes back. Who still finds none waits again: matching is
//! the claim's business.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use tidings_model::State;

use super::tick::{Step, StepQuery, json};
use crate::batch::ChannelId;
use crate::error::StoreError;

impl Step<'_> {
    /// A message that ends outside an attempt takes the use of its kept credential with it.
    pub(super) async fn spend_abandoned(&mut self, messages: &[i64]) -> Result<(), StoreError> {
        let spent = sqlx::query(include_str!("../../sql/sqlite/spend_abandoned.sql"))
            .bind(json(&messages))
            .fetch_all(&mut *self.connection)
            .await
            .map_err(StoreError::during("spend kept credentials"))?;
        self.wake_for(&spent).await
    }

    /// Wakes who waits for what is left of these credentials: recipient and uses left.
    async fn wake_for(&mut self, credentials: &[SqliteRow]) -> Result<(), StoreError> {
        let left = credentials.iter().filter(|row| row.get::<i64, _>(1) > 0);
        let recipients: Vec<String> = left.map(|row| row.get(0)).collect();
        self.wake(&recipients).await
    }

    pub(super) async fn wake(&mut self, recipients: &[String]) -> Result<(), StoreError> {
        if recipients.is_empty() || self.waiting == 0 {
            return Ok(());
        }
        let query = sqlx::query(include_str!("../../sql/sqlite/wake_waiting.sql")).bind(json(&recipients));
        self.woken(query).await
    }

    pub(super) async fn wake_all(&mut self) -> Result<(), StoreError> {
        self.woken(sqlx::query(include_str!("../../sql/sqlite/wake_all.sql"))).await
    }

    /// Runs a statement that wakes messages, and answers with the channel of each.
    async fn woken(&mut self, query: StepQuery<'_>) -> Result<(), StoreError> {
        let woken = query.fetch_all(&mut *self.connection).await.map_err(StoreError::during("wake who waits"))?;
        for row in woken {
            self.moves.go(ChannelId(row.get(0)), State::Waiting, State::Queued);
        }
        Ok(())
    }
}
