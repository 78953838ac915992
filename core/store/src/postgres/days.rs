//! The days of history: what was sent and what failed stands in one table a day, made before anything ends on that day,
//! and dropped as a whole when it is old.
//!
//! To drop a day its table is detached first, which waits for those who read the history just then and holds nobody up
//! meanwhile: from its beginning on nobody new finds the day. Then its trail and its counts leave with it, in one
//! transaction. Whoever comes upon a day that somebody began to drop drops it to its end.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tidings_model::Timestamp;
use tokio::task::JoinHandle;

use super::server::Server;
use crate::batch::{Sweep, Swept};
use crate::error::StoreError;
use crate::sql::{Builder, Connection, Dialect, Statement, Way, both, sql};

const DAY_MS: i64 = 86_400_000;

/// The first day of the year 10000, since 1970.
const DAYS_MAX: i64 = 2_932_897;

/// The tables that a message may end in: what was done, and what failed.
pub(crate) const HISTORIES: [&str; 2] = ["message_done", "message_failed"];

/// How long one who drops a day waits for those who read the history: then the next sweep tries again.
const READERS_WAIT: Duration = Duration::from_secs(5);

/// How long a sweep is asked again whether the days have left; then the next one is told.
const SWEEP_LASTS: Duration = Duration::from_secs(30);

/// How long a node that is gone is still listed.
const GONE_SHOWN: Duration = Duration::from_secs(3600);

/// The beginning of the day that what ended then stands in, if it is in the calendar.
pub(crate) fn histories_day(finished_at: i64) -> Option<i64> {
    let day = finished_at.div_euclid(DAY_MS);
    (0..DAYS_MAX).contains(&day).then(|| day * DAY_MS)
}

/// The days that have their tables, as this node knows, and those that leave.
#[derive(Debug, Default)]
pub(crate) struct Days {
    known: HashSet<i64>,
    leaving: Option<(JoinHandle<u32>, Instant)>,
}

impl Drop for Days {
    fn drop(&mut self) {
        if let Some((task, _)) = &self.leaving {
            task.abort();
        }
    }
}

impl Days {
    /// Looks anew which days have their tables.
    pub(crate) fn forget(&mut self) {
        self.known.clear();
    }

    /// Sees to it that what ends at this instant has a table, and what ends tomorrow.
    pub(crate) async fn ensure(&mut self, connection: &mut Connection, now: Timestamp) -> Result<(), StoreError> {
        let today = now.0.div_euclid(DAY_MS);
        let days = [today, today.saturating_add(1)];
        // A clock that was set back may have come to a day that was dropped since.
        self.known.retain(|day| days.contains(day));
        for day in days {
            // What is in no calendar has tables already.
            if self.known.contains(&day) || !(0..DAYS_MAX).contains(&day) {
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

    /// Has the days leave that ended at these instants or before, on a connection of its own, and tells what left: with the
    /// first sweep after they have. Until then it is to be asked again, for a while.
    pub(super) async fn sweep(&mut self, server: &Server, done_before: Timestamp, failed_before: Timestamp) -> Swept {
        let again = Some(Sweep::Messages { after: 0, done_before, failed_before });
        match self.leaving.take() {
            Some((task, _)) if task.is_finished() => {
                Swept { removed: task.await.unwrap_or_default(), unused: 0, next: None }
            }
            Some((task, since)) => {
                let next = again.filter(|_| since.elapsed() < SWEEP_LASTS);
                self.leaving = Some((task, since));
                Swept { removed: 0, unused: 0, next }
            }
            None => {
                let task = tokio::spawn(leave(server.clone(), [done_before, failed_before]));
                self.leaving = Some((task, Instant::now()));
                Swept { removed: 0, unused: 0, next: again }
            }
        }
    }
}

/// A day's table.
struct Day {
    /// Of which history.
    parent: String,
    name: String,
}

/// Drops the days of each history that ended at its instant or before, and what others began to drop. Says how many
/// messages left.
async fn leave(server: Server, before: [Timestamp; HISTORIES.len()]) -> u32 {
    let mut left = 0;
    if let Err(error) = leave_all(&server, before, &mut left).await {
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        tracing::info!("days of history stay until the next sweep: {error}: {source}");
    }
    left
}

async fn leave_all(server: &Server, before: [Timestamp; HISTORIES.len()], left: &mut u32) -> Result<(), StoreError> {
    let mut connection = server.connect().await?;
    let during = || StoreError::during("read the days of history");
    for row in sql!(postgres "days").query().fetch_all(&mut connection).await.map_err(during())? {
        let day = Day { parent: row.get(0), name: row.get(1) };
        let limit = HISTORIES.iter().position(|parent| *parent == day.parent).map(|index| before[index]);
        if limit.is_some_and(|limit| row.get::<i64>(3) <= limit.0) {
            detach(server, &mut connection, &day, "CONCURRENTLY").await?;
        }
    }
    // Those of just now, and what a crash left.
    for row in sql!(postgres "days_left").query().fetch_all(&mut connection).await.map_err(during())? {
        let day = Day { parent: row.get(0), name: row.get(1) };
        if row.get::<bool>(2) {
            detach(server, &mut connection, &day, "FINALIZE").await?;
        }
        *left = left.saturating_add(end(&mut connection, &day).await?);
    }
    let gone = i64::try_from(GONE_SHOWN.as_millis()).unwrap_or(i64::MAX);
    let forget = sql!(postgres "nodes_gone").query().bind(gone);
    forget.execute(&mut connection).await.map_err(StoreError::during("forget nodes that are gone"))?;
    connection.close().await.map_err(StoreError::during("close a connection"))
}

/// Takes a day out of its history, so that nobody finds it there any more. It cannot be part of a transaction.
async fn detach(server: &Server, connection: &mut Connection, day: &Day, how: &str) -> Result<(), StoreError> {
    let Day { parent, name } = day;
    let detach = format!("ALTER TABLE {parent} DETACH PARTITION {name} {how}");
    let done = match server.way() {
        Way::Direct => {
            let within = format!("SET lock_timeout = {}", READERS_WAIT.as_millis());
            connection.run_script(&within).await.map_err(StoreError::during("set how long a lock is waited for"))?;
            connection.run_script(&detach).await
        }
        // What is set for a session there is set for whoever has it next.
        Way::Pooled => {
            let mut detaching = std::pin::pin!(connection.run_script(&detach));
            match tokio::time::timeout(READERS_WAIT, &mut detaching).await {
                Ok(done) => done,
                Err(_) => {
                    cancel(server, &detach).await?;
                    detaching.await
                }
            }
        }
    };
    match done {
        Ok(()) => Ok(()),
        Err(error) if is_gone(&error) => Ok(()),
        Err(error) => Err(StoreError::during("take a day out of history")(error)),
    }
}

/// Has the server give up a statement of ours.
async fn cancel(server: &Server, statement: &str) -> Result<(), StoreError> {
    let mut connection = server.connect().await?;
    let cancel = both(
        "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND usename = current_user AND state = 'active' AND query = $1",
    );
    let cancelled = cancel.bind(statement).execute(&mut connection).await;
    cancelled.map_err(StoreError::during("cancel a statement that waits for readers"))?;
    connection.close().await.map_err(StoreError::during("close a connection"))
}

/// Drops the table of a day that is out of history: the trail of its messages leaves with it, and they leave the counts.
/// Says how many there were: none if another node was quicker.
async fn end(connection: &mut Connection, day: &Day) -> Result<u32, StoreError> {
    let of_day = |statement: Statement| Builder::new(&statement.text(Dialect::Postgres).replace("{table}", &day.name));
    let during = || StoreError::during("drop a day of history");
    both("BEGIN").execute(connection).await.map_err(during())?;
    let within = Builder::new(&format!("SET LOCAL lock_timeout = {}", READERS_WAIT.as_millis())).build();
    within.execute(connection).await.map_err(during())?;
    let lock = Builder::new(&format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", day.name)).build();
    if let Err(error) = lock.execute(connection).await {
        both("ROLLBACK").execute(connection).await.map_err(during())?;
        return if is_gone(&error) { Ok(0) } else { Err(during()(error)) };
    }
    let mut left = 0_i64;
    let counts = of_day(sql!(postgres "day_tally")).build().fetch_all(connection).await.map_err(during())?;
    for trail in
        [sql!(postgres "day_trail_attempts"), sql!(postgres "day_trail_acted"), sql!(postgres "day_trail_moments")]
    {
        of_day(trail).build().execute(connection).await.map_err(during())?;
    }
    for row in &counts {
        left += row.get::<i64>(2);
        // In the rows of nobody, so that no writer waits.
        both(
            "INSERT INTO tally (node_id, channel_id, state, count) VALUES (0, $1, $2, $3)
             ON CONFLICT (node_id, channel_id, state) DO UPDATE SET count = tally.count + excluded.count",
        )
        .bind(row.get::<i64>(0))
        .bind(row.get::<i64>(1))
        .bind(-row.get::<i64>(2))
        .execute(connection)
        .await
        .map_err(during())?;
    }
    Builder::new(&format!("DROP TABLE {}", day.name)).build().execute(connection).await.map_err(during())?;
    both("COMMIT").execute(connection).await.map_err(during())?;
    Ok(u32::try_from(left).unwrap_or(u32::MAX))
}

/// Whether another node was quicker: there is no such table any more, or it is no part of the history.
fn is_gone(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    // undefined_table; object_not_in_prerequisite_state: another one is detaching it.
    code.is_some_and(|code| ["42P01", "55000"].contains(&code.as_ref()))
}
