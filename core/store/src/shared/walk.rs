//! Where a look at a list begins and ends, so that no list reads more rows than a bound says.

use tidings_model::Timestamp;

use crate::error::StoreError;
use crate::sql::{Connection, both};

/// A table whose rows say when they came.
#[derive(Debug, Clone, Copy)]
pub(super) enum Dated {
    Audit,
    Messages,
}

impl Dated {
    pub(super) fn last(self) -> &'static str {
        match self {
            Dated::Audit => "SELECT max(id) FROM audit",
            Dated::Messages => "SELECT max(id) FROM message",
        }
    }

    pub(super) fn from(self) -> &'static str {
        match self {
            Dated::Audit => "SELECT id, at FROM audit WHERE id >= $1 ORDER BY id LIMIT 1",
            Dated::Messages => "SELECT id, created_at FROM message WHERE id >= $1 ORDER BY id LIMIT 1",
        }
    }
}

/// The last row that came before this instant; 0 if none did. Ids rise with time, so it is found by halving: some twenty
/// rows of ten million are read. Where the clock was set back it is one of several that could be meant.
pub(super) async fn last_before(look: &mut Connection, table: Dated, at: Timestamp) -> Result<i64, StoreError> {
    let during = || StoreError::during("find where a time begins");
    let last: Option<i64> = both(table.last()).fetch_scalar(look).await.map_err(during())?;
    // All up to `low` came before, and none from `high` on.
    let (mut low, mut high) = (0, last.unwrap_or(0) + 1);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        let row = both(table.from()).bind(middle).fetch_optional(look).await.map_err(during())?;
        match row.map(|row| (row.get::<i64>(0), row.get::<i64>(1))) {
            Some((id, came_at)) if came_at < at.0 => low = id,
            _ => high = middle,
        }
    }
    Ok(low)
}
