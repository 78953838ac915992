//! The moments of a message that stand in no other row: when it began to wait, what it went on with, when it was sent.

use tidings_model::{MessageId, Timestamp};

use super::reader::Reader;
use super::tick::Step;
use crate::batch::Claimed;
use crate::error::StoreError;
use crate::read::MomentRow;
use crate::sql::{Json, Row, Statement, both, json, sql};

impl Step<'_> {
    pub(super) async fn begin_to_wait(&mut self, messages: &[i64]) -> Result<(), StoreError> {
        self.moments(sql!("moments_waiting"), json(&messages)).await
    }

    /// These had waited, and go on with the credentials that are bound to them.
    pub(super) async fn go_on(&mut self, messages: &[&Claimed]) -> Result<(), StoreError> {
        let with = |claimed: &&Claimed| {
            let bound = claimed.credential.as_ref()?;
            Some((claimed.message.0, format!("{}, taken in {}", bound.source, bound.taken_at)))
        };
        let rows: Vec<(i64, String)> = messages.iter().filter_map(with).collect();
        self.moments(sql!("moments_bound"), json(&rows)).await
    }

    /// Notes what the rows of `receive.sql` are about to overwrite.
    pub(super) async fn keep_when_sent(&mut self, rows: Json) -> Result<(), StoreError> {
        self.moments(sql!("moments_received"), rows).await
    }

    async fn moments(&mut self, sql: Statement, rows: Json) -> Result<(), StoreError> {
        let query = sql.query().bind(rows).bind(self.now.0);
        self.run(query).await.map(drop).map_err(StoreError::during("write moments of messages"))
    }
}

impl Reader {
    /// The moments of a message, in order.
    pub async fn moments(&self, message: MessageId) -> Result<Vec<MomentRow>, StoreError> {
        let rows = both("SELECT what, at, detail FROM moment WHERE message_id = $1 ORDER BY at, what")
            .bind(message.0)
            .fetch_all(&mut self.connection().await?)
            .await
            .map_err(StoreError::during("read the moments of a message"))?;
        let moment = |row: &Row| MomentRow { what: row.get(0), at: Timestamp(row.get(1)), detail: row.get(2) };
        Ok(rows.iter().map(moment).collect())
    }
}
