//! Who waits for a credential is asked again when one comes, or comes back. Who still finds none waits again: matching is
//! the claim's business.

use tidings_model::State;

use super::tick::Step;
use crate::batch::ChannelId;
use crate::error::StoreError;
use crate::sql::{Dialect, Query, Row, json, sql};

impl Step<'_> {
    /// A message that ends outside an attempt takes the use of its kept credential with it.
    pub(super) async fn spend_abandoned(&mut self, messages: &[i64]) -> Result<(), StoreError> {
        let spent = sql!("spend_abandoned")
            .query()
            .bind(json(&messages))
            .fetch_all(self.connection)
            .await
            .map_err(StoreError::during("spend kept credentials"))?;
        self.wake_for(&spent).await
    }

    /// Wakes who waits for what is left of these credentials: recipient and uses left.
    async fn wake_for(&mut self, credentials: &[Row]) -> Result<(), StoreError> {
        let left = credentials.iter().filter(|row| row.get::<i64>(1) > 0);
        let recipients: Vec<String> = left.map(|row| row.get(0)).collect();
        self.wake(&recipients).await
    }

    pub(super) async fn wake(&mut self, recipients: &[String]) -> Result<(), StoreError> {
        if recipients.is_empty() || self.waiting == 0 {
            return Ok(());
        }
        self.lock_ledger(recipients).await?;
        let query = sql!("wake_waiting").query().bind(json(&recipients));
        self.woken(query).await
    }

    /// Has these recipients' part of the ledger to itself until the transaction ends, where there are others that let
    /// messages wait and bring permits.
    pub(super) async fn lock_ledger(&mut self, recipients: &[String]) -> Result<(), StoreError> {
        if self.connection.dialect() == Dialect::Postgres {
            let lock = sql!(postgres "ledger_lock").query().bind(json(&recipients));
            lock.fetch_all(self.connection).await.map_err(StoreError::during("lock a part of the ledger"))?;
        }
        Ok(())
    }

    pub(super) async fn wake_all(&mut self) -> Result<(), StoreError> {
        self.woken(sql!("wake_all").query()).await
    }

    /// Runs a statement that wakes messages, and answers with the channel of each.
    async fn woken(&mut self, query: Query<'_>) -> Result<(), StoreError> {
        let woken = query.fetch_all(self.connection).await.map_err(StoreError::during("wake who waits"))?;
        for row in woken {
            self.moves.go(ChannelId(row.get(0)), State::Waiting, State::Queued);
        }
        Ok(())
    }
}
