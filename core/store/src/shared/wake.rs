//! Who waits for a credential is asked again when one comes, or comes back. Who still finds none waits again: matching is
//! the claim's business.
//!
//! The steps of a transaction note whose credentials they bring or let go of, and all of these are woken at once: their
//! parts of the ledger are locked in one order, however many steps there were.

use tidings_model::State;

use super::tick::Step;
use crate::batch::ChannelId;
use crate::error::StoreError;
use crate::sql::{Dialect, Query, json, sql};

impl Step<'_> {
    /// A message that ends outside an attempt takes the use of its kept credential with it.
    pub(super) async fn spend_abandoned(&mut self, messages: &[i64]) -> Result<(), StoreError> {
        let spent = sql!("spend_abandoned")
            .query()
            .bind(json(&messages))
            .fetch_all(self.connection)
            .await
            .map_err(StoreError::during("spend kept credentials"))?;
        // Recipient and uses left.
        self.freed.extend(spent.iter().filter(|row| row.get::<i64>(1) > 0).map(|row| row.get::<String>(0)));
        Ok(())
    }

    /// Wakes who waits for a credential of those that came or came back up to here. Beside other engines these
    /// recipients' parts of the ledger are this one's from here on; of whom another engine is just moving a message, they
    /// stay noted, and their turn is in the next transaction: nobody is waited for behind that lock.
    pub(super) async fn wake_freed(&mut self) -> Result<(), StoreError> {
        let mut recipients = std::mem::take(&mut self.freed);
        if recipients.is_empty() || self.waiting == 0 {
            return Ok(());
        }
        recipients.sort_unstable();
        recipients.dedup();
        let recipients = json(&recipients);
        if self.connection.dialect() == Dialect::Sqlite {
            return self.woken(sql!("wake_waiting").query().bind(recipients)).await;
        }
        let during = || StoreError::during("wake who waits");
        let lock = sql!(postgres "ledger_lock").query().bind(recipients.clone());
        lock.fetch_all(self.connection).await.map_err(StoreError::during("lock a part of the ledger"))?;
        let query = sql!("wake_waiting").query().bind(recipients);
        for row in query.fetch_all(self.connection).await.map_err(during())? {
            match row.get::<Option<i64>>(0) {
                Some(channel) => self.moves.go(ChannelId(channel), State::Waiting, State::Queued),
                None => self.freed.push(row.get(1)),
            }
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
