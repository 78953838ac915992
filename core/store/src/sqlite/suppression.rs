//! Recipients who are told nothing: asked when messages are accepted and again when they are claimed, and only while
//! there are any.

use std::collections::HashMap;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Row as _, Sqlite};
use tidings_model::limits::{PAGE_ROWS_MAX, SWEEP_ROWS_MAX};
use tidings_model::{AppName, Recipient, State, Timestamp};

use super::reader::Reader;
use super::row::instant;
use super::rows::fetch_json;
use super::tick::{Step, json};
use crate::batch::{ChannelId, Moved, NewMessage, SuppressionChange};
use crate::error::StoreError;
use crate::read::{SuppressionFilter, SuppressionRow};

/// Until when each of them is told nothing, by app and recipient.
pub(super) type Suppressed = HashMap<(String, String), Option<Timestamp>>;

/// The word for why a message was cancelled whose recipient is told nothing.
pub(super) const SUPPRESSED: &str = "suppressed";

/// The same for people.
pub(super) fn note(until: Option<Timestamp>) -> String {
    match until {
        None => "its recipient is suppressed".to_owned(),
        Some(end) => format!("its recipient is suppressed until {end}"),
    }
}

/// Whether anybody is suppressed at all.
pub(super) async fn any(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM suppression)")
        .fetch_one(connection)
        .await
        .map_err(StoreError::during("look for suppressions"))
}

impl Step<'_> {
    pub(super) async fn save_suppressions(&mut self, changes: &[SuppressionChange]) -> Result<(), StoreError> {
        let during = || StoreError::during("write a suppression");
        for change in changes {
            let query = match change {
                SuppressionChange::Add { app, recipient, reason, who, expires_at } => {
                    sqlx::query(include_str!("../../sql/sqlite/insert_suppression.sql"))
                        .bind(app.as_str())
                        .bind(recipient.as_str())
                        .bind(reason)
                        .bind(who)
                        .bind(self.now.0)
                        .bind(expires_at.map(|at| at.0))
                }
                SuppressionChange::Remove { app, recipient } => {
                    sqlx::query(include_str!("../../sql/sqlite/delete_suppression.sql"))
                        .bind(app.as_str())
                        .bind(recipient.as_str())
                }
            };
            self.run(query).await.map_err(during())?;
        }
        Ok(())
    }

    /// Which of the messages are for somebody who is told nothing.
    pub(super) async fn suppressed(
        &mut self,
        messages: &[NewMessage],
        apps: &HashMap<ChannelId, AppName>,
    ) -> Result<Suppressed, StoreError> {
        let of = |message: &NewMessage| {
            Some((apps.get(&message.channel)?.as_str().to_owned(), message.recipient.as_str().to_owned()))
        };
        self.told_nothing(messages.iter().filter_map(of).collect()).await
    }

    /// Which of them, by app and recipient, are told nothing.
    pub(super) async fn told_nothing(&mut self, pairs: Vec<(String, String)>) -> Result<Suppressed, StoreError> {
        let query = sqlx::query(include_str!("../../sql/sqlite/suppressed.sql")).bind(json(&pairs)).bind(self.now.0);
        let found: Vec<(String, String, Option<i64>)> =
            fetch_json(query, self.connection, "look for suppressions").await?;
        Ok(found.into_iter().map(|(app, recipient, until)| ((app, recipient), until.map(Timestamp))).collect())
    }

    /// Cancels what is at the head of a queue and is told nobody: it was on its way when its recipient was suppressed,
    /// or an operator has it sent again.
    pub(super) async fn turn_away(&mut self, away: &[Moved]) -> Result<(), StoreError> {
        let (from, to) = (State::Queued, State::Cancelled);
        for group in away.chunk_by(|a, b| a.detail == b.detail) {
            let rows: Vec<(i64, i64, i64, Option<i64>)> =
                group.iter().map(|moved| (moved.message.0, from.code(), to.code(), None)).collect();
            let query = sqlx::query(include_str!("../../sql/sqlite/operate.sql"));
            let query = query.bind(json(&rows)).bind(self.now.0).bind(SUPPRESSED).bind(&group[0].detail);
            self.run(query).await.map_err(StoreError::during("cancel what is for nobody"))?;
            for moved in group {
                self.moves.go(moved.channel, from, to);
            }
        }
        let ids: Vec<i64> = away.iter().map(|moved| moved.message.0).collect();
        self.spend_abandoned(&ids).await
    }

    /// Removes some of those whose time is over.
    pub(super) async fn sweep_suppressions(&mut self) -> Result<(), StoreError> {
        let query = sqlx::query(include_str!("../../sql/sqlite/sweep_suppressions.sql"));
        let query = query.bind(self.now.0).bind(SWEEP_ROWS_MAX);
        self.run(query).await.map(drop).map_err(StoreError::during("remove old suppressions"))
    }
}

impl Reader {
    /// Those who are told nothing, in the order of apps and recipients, and where to go on.
    pub async fn suppressions(
        &self,
        filter: &SuppressionFilter,
        now: Timestamp,
    ) -> Result<(Vec<SuppressionRow>, Option<(String, String)>), StoreError> {
        let limit = filter.limit.min(PAGE_ROWS_MAX);
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT app, recipient, reason, who, created_at, expires_at FROM suppression WHERE (expires_at IS NULL OR expires_at > ",
        );
        query.push_bind(now.0).push(")");
        if let Some(app) = &filter.app {
            query.push(" AND app = ").push_bind(app);
        }
        if let Some(recipient) = &filter.recipient {
            query.push(" AND recipient = ").push_bind(recipient);
        }
        if let Some((app, recipient)) = &filter.after {
            query.push(" AND (app, recipient) > (").push_bind(app).push(", ").push_bind(recipient).push(")");
        }
        query.push(" ORDER BY app, recipient LIMIT ").push_bind(limit);
        let rows = query.build().fetch_all(self.pool()).await.map_err(StoreError::during("list suppressions"))?;
        let rows: Vec<SuppressionRow> = rows.iter().map(suppression_row).collect();
        let full = u32::try_from(rows.len()).is_ok_and(|count| count == limit);
        let next = rows.last().filter(|_| full).map(|row| (row.app.clone(), row.recipient.clone()));
        Ok((rows, next))
    }

    /// The suppression of this recipient, if there is one and its time is not over.
    pub async fn suppression(
        &self,
        app: &AppName,
        recipient: &Recipient,
        now: Timestamp,
    ) -> Result<Option<SuppressionRow>, StoreError> {
        let filter = SuppressionFilter {
            app: Some(app.to_string()),
            recipient: Some(recipient.to_string()),
            after: None,
            limit: 1,
        };
        Ok(self.suppressions(&filter, now).await?.0.pop())
    }
}

fn suppression_row(row: &SqliteRow) -> SuppressionRow {
    SuppressionRow {
        app: row.get(0),
        recipient: row.get(1),
        reason: row.get(2),
        who: row.get(3),
        created_at: Timestamp(row.get(4)),
        expires_at: instant(row, 5),
    }
}
