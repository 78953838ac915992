//! What leaves by age: a slice of one table at a time, small enough that no tick is long.
//!
//! A table is walked from its oldest row on. An index by age would be quicker to ask and cost every message a write.

use std::collections::HashSet;

use serde::Serialize;
use tidings_model::limits::{CREDENTIAL_MEMORY, SWEEP_ROWS_MAX};
use tidings_model::{State, Timestamp};

use super::tick::Step;
use crate::batch::{ChannelId, Sweep, Swept};
use crate::error::StoreError;
use crate::sql::{Dialect, Statement, both, json, sql};

const ACTION: &str = "remove what is old";

/// The states in which messages stay until they leave, in the order of the statement's variables.
const ENDED: [State; 6] =
    [State::Sent, State::Delivered, State::Failed, State::Unknown, State::Expired, State::Cancelled];

/// The answer of `sweep_messages.sql`: rows seen, the last, the youngest, and those that leave (id, channel, state).
type Slice = (u32, Option<i64>, Option<i64>, Vec<(i64, i64, i64)>);

impl Step<'_> {
    pub(super) async fn sweep(&mut self, sweep: &Sweep) -> Result<Swept, StoreError> {
        match sweep {
            Sweep::Messages { after, done_before, failed_before } => {
                let (done_before, failed_before) = (*done_before, *failed_before);
                let ages = ENDED.map(|state| {
                    let is_failed = matches!(state, State::Failed | State::Unknown);
                    Some(if is_failed { failed_before } else { done_before })
                });
                let next = |after| Sweep::Messages { after, done_before, failed_before };
                self.sweep_messages(*after, ages, next).await
            }
            Sweep::Ended { after, states, before } => {
                let ages = ENDED.map(|state| states.contains(&state).then_some(*before));
                let next = |after| Sweep::Ended { after, states: states.clone(), before: *before };
                self.sweep_messages(*after, ages, next).await
            }
            Sweep::Credentials { after } => self.sweep_credentials(*after).await,
            Sweep::Keys { after } => self.sweep_keys(after).await,
            Sweep::Audit { after, before } => self.sweep_audit(*after, *before).await,
            Sweep::Runs { after, before } => self.sweep_runs(*after, *before).await,
        }
    }

    async fn sweep_messages(
        &mut self,
        after: i64,
        ages: [Option<Timestamp>; ENDED.len()],
        next: impl FnOnce(i64) -> Sweep,
    ) -> Result<Swept, StoreError> {
        let mut query = sql!("sweep_messages").query().bind(after).bind(SWEEP_ROWS_MAX).bind(self.now.0);
        for age in ages {
            query = query.bind(age.map(|at| at.0));
        }
        let (seen, last, youngest, leave): Slice = query.fetch_json(self.connection, ACTION).await?;
        let ids: Vec<i64> = leave.iter().map(|row| row.0).collect();
        self.delete(sql!("delete_messages"), &ids).await?;
        if self.connection.dialect() == Dialect::Sqlite {
            self.delete(sql!(sqlite "delete_bodies"), &ids).await?;
        }
        self.delete(sql!("delete_attempts"), &ids).await?;
        self.delete(sql!("delete_acted"), &ids).await?;
        self.delete(sql!("delete_moments"), &ids).await?;
        for (_, channel, state) in leave {
            let state = State::from_code(state).expect("the statement asks for six states");
            self.moves.leave(ChannelId(channel), state);
        }
        // Ids rise with time: behind one that was accepted too late to leave, nothing leaves.
        let oldest_age = ages.into_iter().flatten().max();
        let young = youngest.is_some_and(|at| oldest_age.is_none_or(|age| at > age.0));
        Ok(Swept { removed: length(&ids), unused: 0, next: last.filter(|_| is_full(seen) && !young).map(next) })
    }

    async fn sweep_credentials(&mut self, after: i64) -> Result<Swept, StoreError> {
        let query = sql!("sweep_credentials")
            .query()
            .bind(after)
            .bind(SWEEP_ROWS_MAX)
            .bind(self.now.0)
            .bind(self.now.before(CREDENTIAL_MEMORY).0);
        let (seen, last, leave): (u32, Option<i64>, Vec<(i64, i64)>) =
            query.fetch_json(self.connection, ACTION).await?;
        let left = self.delete_credentials(&leave).await?;
        let unused: Vec<_> = left.iter().filter(|row| row.1 != 0).collect();
        let next = last.filter(|_| is_full(seen)).map(|after| Sweep::Credentials { after });
        Ok(Swept { removed: length(&left), unused: length(&unused), next })
    }

    /// Of those that are to leave, which did, each with whether it has uses left. Beside other engines one may have been bound
    /// since: it is looked at once more, and stays.
    async fn delete_credentials(&mut self, leave: &[(i64, i64)]) -> Result<Vec<(i64, i64)>, StoreError> {
        let ids: Vec<i64> = leave.iter().map(|row| row.0).collect();
        if self.connection.dialect() == Dialect::Sqlite || ids.is_empty() {
            self.delete(sql!("delete_credentials"), &ids).await?;
            return Ok(leave.to_vec());
        }
        let query = sql!("delete_credentials").query().bind(json(&ids));
        let query = query.bind_postgres(self.now.0).bind_postgres(self.now.before(CREDENTIAL_MEMORY).0);
        let gone: HashSet<i64> = query.fetch_json(self.connection, ACTION).await?;
        Ok(leave.iter().filter(|row| gone.contains(&row.0)).copied().collect())
    }

    async fn sweep_keys(&mut self, after: &str) -> Result<Swept, StoreError> {
        let query = sql!("sweep_keys").query().bind(after).bind(SWEEP_ROWS_MAX).bind(self.now.0);
        let (seen, last, leave): (u32, Option<String>, Vec<String>) = query.fetch_json(self.connection, ACTION).await?;
        self.delete(sql!("delete_keys"), &leave).await?;
        let next = last.filter(|_| is_full(seen)).map(|after| Sweep::Keys { after });
        Ok(Swept { removed: length(&leave), unused: 0, next })
    }

    async fn sweep_runs(&mut self, after: i64, before: Timestamp) -> Result<Swept, StoreError> {
        let query = sql!("sweep_runs").query().bind(after).bind(SWEEP_ROWS_MAX).bind(before.0);
        let (seen, last, leave): (u32, Option<i64>, Vec<i64>) = query.fetch_json(self.connection, ACTION).await?;
        self.delete(sql!("delete_runs"), &leave).await?;
        self.delete(sql!("delete_run_logs"), &leave).await?;
        let query = sql!("sweep_firings").query();
        let query = query.bind(before.0).bind(SWEEP_ROWS_MAX);
        let firings = self.run(query).await.map_err(StoreError::during(ACTION))?;
        let firings = u32::try_from(firings).expect("a slice is bounded");
        // Few: an outage left one, and config a handful.
        for few in [
            "DELETE FROM firing_span WHERE last_at < $1",
            "DELETE FROM schedule WHERE removed_at < $1 AND NOT EXISTS (SELECT 1 FROM firing WHERE schedule = name)",
        ] {
            self.run(both(few).bind(before.0)).await.map_err(StoreError::during(ACTION))?;
        }
        let next = match last {
            Some(after) if is_full(seen) => Some(Sweep::Runs { after, before }),
            _ if is_full(firings) => Some(Sweep::Runs { after: last.unwrap_or(after), before }),
            _ => None,
        };
        Ok(Swept { removed: length(&leave) + firings, unused: 0, next })
    }

    async fn sweep_audit(&mut self, after: i64, before: Timestamp) -> Result<Swept, StoreError> {
        // Few, and of the same kind: they have no walk of their own.
        self.sweep_suppressions().await?;
        let query = sql!("sweep_audit").query().bind(after).bind(SWEEP_ROWS_MAX).bind(before.0);
        let (seen, last, leave): (u32, Option<i64>, Vec<i64>) = query.fetch_json(self.connection, ACTION).await?;
        self.delete(sql!("delete_audit"), &leave).await?;
        // Ids rise with time: where none of a slice is old, none behind it is.
        let next = last.filter(|_| is_full(seen) && !leave.is_empty()).map(|after| Sweep::Audit { after, before });
        Ok(Swept { removed: length(&leave), unused: 0, next })
    }

    async fn delete(&mut self, sql: Statement, rows: &[impl Serialize]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.execute(sql, json(&rows)).await.map_err(StoreError::during(ACTION))
    }
}

fn is_full(seen: u32) -> bool {
    seen == SWEEP_ROWS_MAX
}

fn length<T>(rows: &[T]) -> u32 {
    u32::try_from(rows.len()).expect("a slice is bounded")
}
