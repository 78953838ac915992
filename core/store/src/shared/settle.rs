//! Outcomes: behind the fence, what became of the message, of its credential, and the trace of the attempt.

use std::collections::HashSet;
use std::sync::LazyLock;

use tidings_model::{CredentialFate, State, Timestamp};

use super::tick::{Manner, Step, length};
use crate::batch::Settle;
use crate::error::StoreError;
use crate::sql::{Dialect, Query, ROWS_MAX, RowsStatement, json, sql};

static SETTLE: LazyLock<RowsStatement> =
    LazyLock::new(|| RowsStatement::one_after_the_other(&[include_str!("../../sql/sqlite/settle.sql")]));
static SETTLE_CREDENTIALS: LazyLock<RowsStatement> =
    LazyLock::new(|| RowsStatement::one_after_the_other(&[include_str!("../../sql/sqlite/settle_credentials.sql")]));
/// PostgreSQL's does both.
static SETTLE_WHOLE: LazyLock<RowsStatement> =
    LazyLock::new(|| RowsStatement::of_postgres(include_str!("../../sql/postgres/settle.sql")));
static INSERT_ATTEMPTS: LazyLock<RowsStatement> = LazyLock::new(|| RowsStatement::new(sql!("insert_attempts")));

const SETTLE_ACTION: &str = "write outcomes";

fn during() -> impl FnOnce(sqlx::Error) -> StoreError {
    StoreError::during(SETTLE_ACTION)
}

impl Step<'_> {
    /// Whether each was applied. Of two for one attempt the first is: the second comes too late.
    pub(super) async fn settle(&mut self, settles: &[Settle]) -> Result<Vec<bool>, StoreError> {
        if settles.is_empty() {
            return Ok(Vec::new());
        }
        let mut seen = HashSet::with_capacity(settles.len());
        let mut applied: Vec<bool> = settles.iter().map(|settle| seen.insert(attempt(settle))).collect();
        if self.manner == Manner::Looks {
            let under_way = self.under_way(settles).await?;
            for (applied, settle) in applied.iter_mut().zip(settles) {
                *applied = *applied && under_way.contains(&attempt(settle));
            }
        }
        // What was refused at the fence touches no credential and leaves no attempt.
        let settles: Vec<&Settle> = settles.iter().zip(&applied).filter(|pair| *pair.1).map(|pair| pair.0).collect();
        let left = match self.connection.dialect() {
            Dialect::Sqlite => self.settle_apart(&settles).await?,
            Dialect::Postgres => self.settle_whole(&settles).await?,
        };
        for settle in &settles {
            self.moves.go(settle.channel, State::Sending, settle.settlement.to);
        }
        self.freed.extend(left);
        self.insert_attempts(&settles).await?;
        Ok(applied)
    }

    /// The messages and then their credentials. Answers with whose credentials are free again.
    async fn settle_apart(&mut self, settles: &[&Settle]) -> Result<Vec<String>, StoreError> {
        let mut written = 0;
        for rows in settles.chunks(ROWS_MAX) {
            let query = rows.iter().fold(SETTLE.query(rows.len()), |query, settle| settle_row(query, settle, self.now));
            written += self.run(query).await.map_err(during())?;
        }
        if written != settles.len() as u64 {
            return Err(StoreError::Late);
        }
        self.drop_sisters(settles).await?;
        let fates: Vec<(i64, i64)> = settles
            .iter()
            .filter_map(|settle| Some((settle.message.0, fate_code(settle.settlement.credential)?)))
            .collect();
        let mut left = Vec::new();
        if self.waiting > 0 && !fates.is_empty() {
            let query = sql!(sqlite "recipients_left").query().bind(json(&fates));
            left = query.fetch_json(self.connection, SETTLE_ACTION).await?;
        }
        for rows in fates.chunks(ROWS_MAX) {
            let query = SETTLE_CREDENTIALS.query(rows.len());
            let query = rows.iter().fold(query, |query, (message, fate)| query.bind(*message).bind(*fate));
            self.run(query).await.map_err(during())?;
        }
        Ok(left)
    }

    /// Both in one round trip.
    async fn settle_whole(&mut self, settles: &[&Settle]) -> Result<Vec<String>, StoreError> {
        // They are found by what is still bound. If the fence holds one of these back, all of it is undone.
        self.drop_sisters(settles).await?;
        let (mut written, mut left) = (0, Vec::new());
        for rows in settles.chunks(ROWS_MAX) {
            let mut query = SETTLE_WHOLE.query(rows.len());
            for settle in rows {
                query = settle_row(query, settle, self.now).bind(fate_code(settle.settlement.credential));
            }
            let told = query.fetch_one(self.connection).await.map_err(during())?;
            written += told.get::<i64>(0);
            left.extend(told.json::<Vec<String>>(1, SETTLE_ACTION)?);
        }
        if written == length(settles.len()) { Ok(left) } else { Err(StoreError::Late) }
    }

    /// Drops the permits that stand with those whose provider dropped them all.
    async fn drop_sisters(&mut self, settles: &[&Settle]) -> Result<(), StoreError> {
        let dropped: Vec<(i64, i64)> = settles
            .iter()
            .filter(|settle| settle.settlement.credential == CredentialFate::DropAll)
            .map(|settle| (settle.message.0, settle.started_at.0))
            .collect();
        if dropped.is_empty() {
            return Ok(());
        }
        self.execute(sql!("drop_sisters"), json(&dropped)).await.map_err(during())
    }

    /// Those of the attempts that may still be settled.
    async fn under_way(&mut self, settles: &[Settle]) -> Result<HashSet<(i64, i64)>, StoreError> {
        let attempts: Vec<(i64, i64)> = settles.iter().map(attempt).collect();
        let query = sql!("settle_look").query().bind(json(&attempts));
        let found: Vec<(i64, i64)> = query.fetch_json(self.connection, "look for the attempts that ended").await?;
        Ok(found.into_iter().collect())
    }

    async fn insert_attempts(&mut self, settles: &[&Settle]) -> Result<(), StoreError> {
        let settles: Vec<&&Settle> = settles.iter().filter(|settle| leaves_attempt(settle)).collect();
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

/// Whether it is told by a row of its own. A success at the first try is told by its message.
pub(super) fn leaves_attempt(settle: &Settle) -> bool {
    settle.outcome != "accepted" || settle.generation > 1
}

/// Binds a settlement in the order of `settle.sql`.
pub(super) fn settle_row<'q>(query: Query<'q>, settle: &'q Settle, now: Timestamp) -> Query<'q> {
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

/// The fate as the statements have it; `None` for what stays bound.
pub(super) fn fate_code(fate: CredentialFate) -> Option<i64> {
    match fate {
        CredentialFate::Keep => None,
        CredentialFate::GiveBack => Some(1),
        CredentialFate::Spend => Some(2),
        CredentialFate::Drop | CredentialFate::DropAll => Some(3),
    }
}

/// What the fence compares: which claim of which message.
pub(super) fn attempt(settle: &Settle) -> (i64, i64) {
    (settle.message.0, settle.generation)
}

fn finished(state: State, now: Timestamp) -> Option<i64> {
    state.is_terminal().then_some(now.0)
}
