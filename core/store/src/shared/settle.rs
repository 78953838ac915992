//! Outcomes: behind the fence, what became of the message, of its credential, and the trace of the attempt.

use std::collections::HashSet;
use std::sync::LazyLock;

use tidings_model::{CredentialFate, State, Timestamp};

use super::tick::{Fence, Step};
use crate::batch::Settle;
use crate::error::StoreError;
use crate::sql::{Query, ROWS_MAX, RowsStatement, json, sql};

static SETTLE: LazyLock<RowsStatement> = LazyLock::new(|| RowsStatement::new(sql!("settle")));
static SETTLE_CREDENTIALS: LazyLock<RowsStatement> = LazyLock::new(|| RowsStatement::new(sql!("settle_credentials")));
static INSERT_ATTEMPTS: LazyLock<RowsStatement> = LazyLock::new(|| RowsStatement::new(sql!("insert_attempts")));

impl Step<'_> {
    pub(super) async fn settle(&mut self, settles: &[Settle]) -> Result<Vec<bool>, StoreError> {
        if settles.is_empty() {
            return Ok(Vec::new());
        }
        let applied = self.settle_messages(settles).await?;
        // Behind the fence of the messages: what was refused there touches no credential and leaves no attempt.
        let settles: Vec<&Settle> = settles.iter().zip(&applied).filter(|pair| *pair.1).map(|pair| pair.0).collect();
        self.settle_credentials(&settles).await?;
        self.insert_attempts(&settles).await?;
        Ok(applied)
    }

    /// Whether each was applied. Of two for one attempt the first is: the second comes too late.
    pub(super) async fn settle_messages(&mut self, settles: &[Settle]) -> Result<Vec<bool>, StoreError> {
        let mut seen = HashSet::with_capacity(settles.len());
        let mut applied: Vec<bool> = settles.iter().map(|settle| seen.insert(attempt(settle))).collect();
        if self.fence == Fence::Looks {
            let under_way = self.under_way(settles).await?;
            for (applied, settle) in applied.iter_mut().zip(settles) {
                *applied = *applied && under_way.contains(&attempt(settle));
            }
        }
        let rows: Vec<&Settle> = settles.iter().zip(&applied).filter(|pair| *pair.1).map(|pair| pair.0).collect();
        let mut written = 0;
        for rows in rows.chunks(ROWS_MAX) {
            let mut query = SETTLE.query(rows.len());
            for settle in rows {
                query = settle_row(query, settle, self.now);
            }
            written += self.run(query).await.map_err(StoreError::during("write outcomes"))?;
        }
        if written != rows.len() as u64 {
            return Err(StoreError::Late);
        }
        for settle in rows {
            self.moves.go(settle.channel, State::Sending, settle.settlement.to);
        }
        Ok(applied)
    }

    /// Those of the attempts that may still be settled.
    pub(super) async fn under_way(&mut self, settles: &[Settle]) -> Result<HashSet<(i64, i64)>, StoreError> {
        let attempts: Vec<(i64, i64)> = settles.iter().map(attempt).collect();
        let query = sql!("settle_look").query().bind(json(&attempts));
        let found: Vec<(i64, i64)> = query.fetch_json(self.connection, "look for the attempts that ended").await?;
        Ok(found.into_iter().collect())
    }

    pub(super) async fn settle_credentials(&mut self, settles: &[&Settle]) -> Result<(), StoreError> {
        let during = || StoreError::during("write what became of credentials");
        let dropped: Vec<(i64, i64)> = settles
            .iter()
            .filter(|settle| settle.settlement.credential == CredentialFate::DropAll)
            .map(|settle| (settle.message.0, settle.started_at.0))
            .collect();
        if !dropped.is_empty() {
            self.execute(sql!("drop_sisters"), json(&dropped)).await.map_err(during())?;
        }
        let fates: Vec<(i64, u8)> = settles
            .iter()
            .filter_map(|settle| Some((settle.message.0, fate_code(settle.settlement.credential)?)))
            .collect();
        let mut left: Vec<String> = Vec::new();
        if self.waiting > 0 && !fates.is_empty() {
            let query = sql!("recipients_left").query().bind(json(&fates));
            left = query.fetch_json(self.connection, "look who may go on with what is left").await?;
        }
        for rows in fates.chunks(ROWS_MAX) {
            let mut query = SETTLE_CREDENTIALS.query(rows.len());
            for (message, fate) in rows {
                query = query.bind(*message).bind(*fate);
            }
            self.run(query).await.map_err(during())?;
        }
        self.wake(&left).await
    }

    pub(super) async fn insert_attempts(&mut self, settles: &[&Settle]) -> Result<(), StoreError> {
        let told = |settle: &&&Settle| settle.outcome != "accepted" || settle.generation > 1;
        let settles: Vec<&&Settle> = settles.iter().filter(told).collect();
        for rows in settles.chunks(ROWS_MAX) {
            let mut query = INSERT_ATTEMPTS.query(rows.len());
            for settle in rows {
                query = query
                    .bind(settle.message.0)
                    .bind(settle.generation)
                    .bind(settle.started_at.0)
                    .bind(settle.ended_at.0)
                    .bind(settle.outcome)
                    .bind(&settle.settlement.detail);
            }
            self.run(query).await.map_err(StoreError::during("write attempts"))?;
        }
        Ok(())
    }
}

/// Binds a settlement in the order of `settle.sql`.
fn settle_row<'q>(query: Query<'q>, settle: &'q Settle, now: Timestamp) -> Query<'q> {
    let settlement = &settle.settlement;
    query
        .bind(settle.message.0)
        .bind(settle.generation)
        .bind(settlement.to.code())
        .bind(settlement.due_at.map(|at| at.0))
        .bind(settlement.counts)
        .bind(settlement.ambiguous)
        .bind(settle.rescued)
        .bind(finished(settlement.to, now))
        .bind(settlement.reason)
        .bind((!settlement.detail.is_empty()).then_some(settlement.detail.as_str()))
        .bind(settlement.provider_id.as_deref())
}

/// The fate as `settle_credentials.sql` has it; `None` for what stays bound.
fn fate_code(fate: CredentialFate) -> Option<u8> {
    match fate {
        CredentialFate::Keep => None,
        CredentialFate::GiveBack => Some(1),
        CredentialFate::Spend => Some(2),
        CredentialFate::Drop | CredentialFate::DropAll => Some(3),
    }
}

/// What the fence compares: which claim of which message.
fn attempt(settle: &Settle) -> (i64, i64) {
    (settle.message.0, settle.generation)
}

fn finished(state: State, now: Timestamp) -> Option<i64> {
    state.is_terminal().then_some(now.0)
}
