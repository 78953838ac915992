//! Who shares the store.

use tidings_model::Timestamp;

use super::reader::Reader;
use crate::batch::ChannelId;
use crate::error::StoreError;
use crate::read::NodeRow;
use crate::sql::{Dialect, Row, json, sql};

impl Reader {
    /// The engines that share the store, in the order they came; those that are gone, too, until they are forgotten. None
    /// of a store in a file, which has one engine and no leases.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] if the server does not answer.
    pub async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        let mut connection = self.connection().await?;
        if connection.dialect() == Dialect::Sqlite {
            return Ok(Vec::new());
        }
        let query = sql!(postgres "nodes").query();
        let rows = query.fetch_all(&mut connection).await.map_err(StoreError::during("read the nodes"))?;
        Ok(rows.iter().map(node_row).collect())
    }
}

impl Reader {
    /// What engines that are gone left in the middle of an attempt in other channels than these: how many, by channel. Of a
    /// store in a file there is nothing to tell.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] if the server does not answer.
    pub async fn orphans_left(&self, channels: &[ChannelId]) -> Result<Vec<(String, u64)>, StoreError> {
        let mut connection = self.connection().await?;
        if connection.dialect() == Dialect::Sqlite {
            return Ok(Vec::new());
        }
        let channels: Vec<i64> = channels.iter().map(|id| id.0).collect();
        let query = sql!(postgres "orphans_left").query().bind(json(&channels));
        let rows =
            query.fetch_all(&mut connection).await.map_err(StoreError::during("look for what nobody takes over"))?;
        Ok(rows.iter().map(|row| (row.get(0), u64::try_from(row.get::<i64>(1)).unwrap_or_default())).collect())
    }
}

fn node_row(row: &Row) -> NodeRow {
    NodeRow {
        id: row.get(0),
        name: row.get(1),
        version: row.get(2),
        config: row.get(3),
        started_at: Timestamp(row.get(4)),
        renewed_at: Timestamp(row.get(5)),
        lease_until: Timestamp(row.get(6)),
        draining: row.get(7),
        in_flight: row.get(8),
        sent_per_s: row.get(9),
        address: row.get(10),
        now: Timestamp(row.get(11)),
    }
}
