//! The days of history: what was sent and what failed stands in one table a day, made before anything ends on that day,
//! and dropped as a whole when it is old.

use std::collections::HashSet;

use tidings_model::Timestamp;

use crate::error::StoreError;
use crate::sql::{Connection, both};

const DAY_MS: i64 = 86_400_000;

/// The first day of the year 10000, since 1970.
const DAYS_MAX: i64 = 2_932_897;

/// The tables that a message may end in.
const HISTORIES: [&str; 2] = ["message_done", "message_failed"];

/// Days that have their tables, as this node knows.
#[derive(Debug, Default)]
pub(crate) struct Days {
    known: HashSet<i64>,
}

impl Days {
    pub(crate) async fn load(_connection: &mut Connection) -> Result<Days, StoreError> {
        Ok(Days::default())
    }

    /// Sees to it that what ends at this instant has a table, and what ends tomorrow.
    pub(crate) async fn ensure(&mut self, connection: &mut Connection, now: Timestamp) -> Result<(), StoreError> {
        let today = now.0.div_euclid(DAY_MS);
        for day in [today, today.saturating_add(1)] {
            if self.known.contains(&day) {
                continue;
            }
            // What is in no calendar has tables already.
            if !(0..DAYS_MAX).contains(&day) {
                continue;
            }
            let begin = day * DAY_MS;
            for parent in HISTORIES {
                both("SELECT tidings_day($1, $2)")
                    .bind(parent)
                    .bind(begin)
                    .execute(connection)
                    .await
                    .map_err(StoreError::during("make the table of a day"))?;
            }
            self.known.insert(day);
        }
        Ok(())
    }
}
