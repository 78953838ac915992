//! How long the queues wait, for whoever watches: a few looks into an index, whatever their depth.

use tidings_model::Timestamp;

use super::reader::Reader;
use crate::batch::ChannelId;
use crate::error::StoreError;
use crate::sql::{json, sql};

impl Reader {
    /// When the longest due message of each of these channels became due; those without one are left out.
    pub async fn queue_heads(&self, channels: &[ChannelId]) -> Result<Vec<(ChannelId, Timestamp)>, StoreError> {
        const ACTION: &str = "look at the heads of the queues";
        let mut connection = self.connection().await?;
        let ids: Vec<i64> = channels.iter().map(|channel| channel.0).collect();
        let query = sql!("queue_heads").query().bind(json(&ids));
        let rows: Vec<(i64, i64)> = query.fetch_json(&mut connection, ACTION).await?;
        Ok(rows.into_iter().map(|(channel, due)| (ChannelId(channel), Timestamp(due))).collect())
    }
}
