//! What time does to messages: it makes them due, ends them, and may be set back.

use std::time::Duration;

use tidings_model::limits::TICK_PROMOTIONS_MAX;
use tidings_model::{Event, MessageId, State, Timestamp};

use super::tick::{Step, length};
use super::writer::LOOK_NOW;
use crate::batch::{Batch, ChannelId, Moved, NewMessage, TemplateId};
use crate::error::StoreError;
use crate::sql::{Dialect, json, sql};

/// A row of `due.sql`: an array in the order of these fields.
#[derive(serde::Deserialize)]
struct DueRow {
    channel: i64,
    messages: i64,
    // Where the first of them stands, on a server.
    #[serde(default)]
    priority: i64,
    #[serde(default)]
    first_at: i64,
}

impl Step<'_> {
    /// `nodes` are the numbers that this engine had, where there are several engines.
    pub(super) async fn set_back(&mut self, by: Duration, nodes: &[i64]) -> Result<(), StoreError> {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        let query = sql!("set_back").query().bind(by).bind(self.now.0).bind_postgres(json(&nodes));
        self.run(query).await.map(drop).map_err(StoreError::during("set delays back with the clock"))
    }

    pub(super) async fn promote(&mut self) -> Result<bool, StoreError> {
        let query = sql!("due").query();
        let query = query.bind(self.now.0).bind(length(TICK_PROMOTIONS_MAX));
        let due: Vec<DueRow> = query.fetch_json(self.connection, "look for what is due").await?;
        let count: i64 = due.iter().map(|row| row.messages).sum();
        if count == 0 {
            return Ok(false);
        }
        // PostgreSQL made them due as it counted them.
        if self.connection.dialect() == Dialect::Sqlite {
            let query = sql!(sqlite "promote").query();
            let query = query.bind(self.now.0).bind(length(TICK_PROMOTIONS_MAX));
            self.run(query).await.map_err(StoreError::during("make messages due"))?;
        }
        for DueRow { channel, messages, priority, first_at } in due {
            self.moves.fall_due(ChannelId(channel), messages);
            self.floors.came(ChannelId(channel), priority, (first_at, i64::MIN));
        }
        Ok(count == length(TICK_PROMOTIONS_MAX))
    }

    pub(super) async fn expire(&mut self, moved: &mut Vec<Moved>) -> Result<bool, StoreError> {
        let during = || StoreError::during("expire messages");
        // The states before are needed for the counts, and a statement returns only what it wrote.
        let late = sql!("late")
            .query()
            .bind(self.now.0)
            .bind(length(TICK_PROMOTIONS_MAX))
            .fetch_all(self.connection)
            .await
            .map_err(during())?;
        if late.is_empty() {
            return Ok(false);
        }
        let mut ids = Vec::with_capacity(late.len());
        for row in &late {
            let from = State::from_code(row.get(2)).expect("the statement asks for four states");
            let (message, channel): (i64, _) = (row.get(0), ChannelId(row.get(1)));
            self.moves.go(channel, from, State::Expired);
            ids.push(message);
            moved.push(Moved {
                message: MessageId(message),
                channel,
                template: TemplateId(row.get(3)),
                recipient: row.get(4),
                event: Event::Expire,
                to: State::Expired,
                reason: Some("expired"),
                detail: String::new(),
            });
        }
        sql!("expire").query().bind(json(&ids)).bind(self.now.0).execute(self.connection).await.map_err(during())?;
        self.spend_abandoned(&ids).await?;
        Ok(late.len() == TICK_PROMOTIONS_MAX)
    }

    pub(super) async fn next_due(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let next: Option<i64> =
            sql!("next_due").query().fetch_scalar(self.connection).await.map_err(StoreError::during("look ahead"))?;
        Ok(next.map(Timestamp))
    }
}

/// Before which instant nothing of this batch becomes due or runs out of time. What came back from an attempt, or was
/// moved by an operator, may bring an end of its own that the batch does not name: then it is time to look.
pub(super) fn quiet_until(batch: &Batch) -> Option<Timestamp> {
    if !batch.operations.is_empty() || batch.settles.iter().any(|settle| !settle.settlement.to.is_terminal()) {
        return LOOK_NOW;
    }
    batch.messages.iter().map(ahead).fold(None, earliest)
}

/// When a message becomes due or runs out of time.
pub(super) fn ahead(message: &NewMessage) -> Option<Timestamp> {
    earliest(message.send_at, message.expires_at)
}

pub(super) fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
