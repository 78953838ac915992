//! Recipients who are told nothing: asked when messages are accepted and again when they are claimed, and only while
//! there are any.

use std::collections::HashMap;

use tidings_model::limits::{PAGE_ROWS_MAX, SWEEP_ROWS_MAX};
use tidings_model::{AppName, Recipient, State, Timestamp};

use super::reader::Reader;
use super::row::instant;
use super::tick::Step;
use crate::batch::{ChannelId, Moved, NewMessage, SuppressionChange};
use crate::error::StoreError;
use crate::read::{SuppressionFilter, SuppressionRow};
use crate::sql::{Builder, Connection, Row, both, json, sql};

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
pub(super) async fn any(connection: &mut Connection) -> Result<bool, StoreError> {
    both("SELECT EXISTS (SELECT 1 FROM suppression)")
        .fetch_scalar(connection)
        .await
        .map_err(StoreError::during("look for suppressions"))
}

impl Step<'_> {
    pub(super) async fn save_suppressions(&mut self, changes: &[SuppressionChange]) -> Result<(), StoreError> {
        let during = || StoreError::during("write a suppression");
        for change in changes {
            let query = match change {
                SuppressionChange::Add { app, recipient, reason, who, expires_at } => sql!("insert_suppression")
                    .query()
                    .bind(app.as_str())
                    .bind(recipient.as_str())
                    .bind(reason)
                    .bind(who)
                    .bind(self.now.0)
                    .bind(expires_at.map(|at| at.0)),
                SuppressionChange::Remove { app, recipient } => {
                    sql!("delete_suppression").query().bind(app.as_str()).bind(recipient.as_str())
                }
            };
            self.run(query).await.map_err(during())?;
        }
        Ok(())
    }

    /// Which of the messages are for somebody who is told nothing.
    pub(super) async fn suppressed(
        &mut self,
        messages: &[&NewMessage],
        apps: &HashMap<ChannelId, AppName>,
    ) -> Result<Suppressed, StoreError> {
        let of = |message: &NewMessage| {
            Some((apps.get(&message.channel)?.as_str().to_owned(), message.recipient.as_str().to_owned()))
        };
        self.told_nothing(messages.iter().copied().filter_map(of).collect()).await
    }

    /// Which of them, by app and recipient, are told nothing.
    pub(super) async fn told_nothing(&mut self, pairs: Vec<(String, String)>) -> Result<Suppressed, StoreError> {
        let query = sql!("suppressed").query().bind(json(&pairs)).bind(self.now.0);
        let found: Vec<(String, String, Option<i64>)> =
            query.fetch_json(self.connection, "look for suppressions").await?;
        Ok(found.into_iter().map(|(app, recipient, until)| ((app, recipient), until.map(Timestamp))).collect())
    }

    /// Cancels what is at the head of a queue and is told nobody: it was on its way when its recipient was suppressed,
    /// or an operator has it sent again.
    pub(super) async fn turn_away(&mut self, away: &[Moved]) -> Result<(), StoreError> {
        let (from, to) = (State::Queued, State::Cancelled);
        for group in away.chunk_by(|a, b| a.detail == b.detail) {
            let rows: Vec<(i64, i64, i64, Option<i64>)> =
                group.iter().map(|moved| (moved.message.0, from.code(), to.code(), None)).collect();
            let query = sql!("operate").query();
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
        let query = sql!("sweep_suppressions").query();
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
        let mut query = Builder::new(
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
        let rows = query
            .build()
            .fetch_all(&mut self.connection().await?)
            .await
            .map_err(StoreError::during("list suppressions"))?;
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

fn suppression_row(row: &Row) -> SuppressionRow {
    SuppressionRow {
        app: row.get(0),
        recipient: row.get(1),
        reason: row.get(2),
        who: row.get(3),
        created_at: Timestamp(row.get(4)),
        expires_at: instant(row, 5),
    }
}

#[cfg(test)]
mod tests {
    use tidings_model::Recipient;

    use super::*;
    use crate::batch::{Batch, Sweep};
    use crate::sqlite::open;

    #[tokio::test]
    async fn nobody_is_asked_for_once_the_last_suppression_has_left() {
        let name = format!("tidings-suppresses-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let (mut writer, _reader) = open(&format!("sqlite://{}", folder.join("tidings.db").display())).await.unwrap();
        let (app, recipient) = (AppName::new("shop").unwrap(), Recipient::new("ann").unwrap());
        let add = |expires_at| SuppressionChange::Add {
            app: app.clone(),
            recipient: recipient.clone(),
            reason: "asked for it".to_owned(),
            who: "ops".to_owned(),
            expires_at,
        };
        let remove = SuppressionChange::Remove { app: app.clone(), recipient: recipient.clone() };
        let change = |now, change| Batch { now: Timestamp(now), suppressions: vec![change], ..Batch::default() };
        assert!(!writer.suppresses, "a fresh store suppresses nobody");
        writer.commit(&change(1, add(None))).await.unwrap();
        assert!(writer.suppresses);
        writer.commit(&change(2, remove)).await.unwrap();
        assert!(!writer.suppresses, "the last was removed");
        writer.commit(&change(3, add(Some(Timestamp(9))))).await.unwrap();
        let sweeps = vec![Sweep::Audit { after: 0, before: Timestamp(0) }];
        writer.commit(&Batch { now: Timestamp(10), sweeps, ..Batch::default() }).await.unwrap();
        assert!(!writer.suppresses, "the time of the last was over");
        writer.close().await.unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
