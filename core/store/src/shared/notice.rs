//! What webhooks are to be told: written in the transaction of the change, oldest out when too many wait.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use tidings_model::limits::NOTICES_MAX;
use tidings_model::{NoticeId, Timestamp, WebhookName};

use super::reader::Reader;
use super::row::{instant, noted};
use super::tick::{Step, apart};
use crate::error::StoreError;
use crate::notice::{Backlog, NewNotice, NoticeRow, NoticeSettle, WebhookStanding};
use crate::sql::{Connection, ROWS_MAX, Row, RowsStatement, both, json, sql};

static INSERT_NOTICES: LazyLock<RowsStatement> = LazyLock::new(|| RowsStatement::new(sql!("insert_notices")));
static DELAY_NOTICES: LazyLock<RowsStatement> = LazyLock::new(|| RowsStatement::new(sql!("delay_notices")));

/// How many notices of each webhook wait.
pub(super) type Pending = HashMap<WebhookName, u64>;

/// What a transaction did to them.
pub(super) type Backlogs = BTreeMap<WebhookName, Backlog>;

pub(super) async fn pending(connection: &mut Connection) -> Result<Pending, StoreError> {
    let rows = both("SELECT webhook, count(*) FROM notice GROUP BY webhook")
        .fetch_all(connection)
        .await
        .map_err(StoreError::during("count the notices"))?;
    let row = |row: &Row| Ok((name(row.get(0))?, number(row.get(1))));
    rows.iter().map(row).collect()
}

pub(super) async fn standings(
    connection: &mut Connection,
) -> Result<HashMap<WebhookName, WebhookStanding>, StoreError> {
    let rows = both("SELECT name, failing_since, disabled_at, disabled_reason, given_up, dropped FROM webhook")
        .fetch_all(connection)
        .await
        .map_err(StoreError::during("read the webhooks"))?;
    let row = |row: &Row| {
        let standing = WebhookStanding {
            failing_since: instant(row, 1),
            disabled: noted(row, 2),
            given_up: number(row.get(4)),
            dropped: number(row.get(5)),
        };
        Ok((name(row.get(0))?, standing))
    };
    rows.iter().map(row).collect()
}

fn name(text: String) -> Result<WebhookName, StoreError> {
    WebhookName::new(text).map_err(|error| StoreError::Corrupt(format!("the name of a webhook: {error}")))
}

fn number(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}

impl Step<'_> {
    /// Writes what became of those that were tried, and how their webhooks stand.
    pub(super) async fn settle_notices(
        &mut self,
        settles: &[NoticeSettle],
        pending: &Pending,
        backlogs: &mut Backlogs,
    ) -> Result<(), StoreError> {
        let during = || StoreError::during("write what webhooks were told");
        for settle in settles {
            let backlog = backlog_of(backlogs, pending, &settle.webhook);
            if !settle.done.is_empty() {
                let ids: Vec<i64> = settle.done.iter().map(|id| id.0).collect();
                let sql = sql!("delete_notices");
                let gone = self.run(sql.query().bind(json(&ids))).await.map_err(during())?;
                backlog.pending = backlog.pending.saturating_sub(gone);
            }
            for rows in settle.again.chunks(ROWS_MAX) {
                let mut query = DELAY_NOTICES.query(rows.len());
                for (id, attempts, due_at, detail) in rows {
                    query = query.bind(id.0).bind(*attempts).bind(due_at.0).bind(detail);
                }
                self.run(query).await.map_err(during())?;
            }
            self.save_standing(&settle.webhook, &settle.standing).await?;
        }
        Ok(())
    }

    /// Sets webhooks going again: what waits for them is due now, as if it had never been tried.
    pub(super) async fn resume_webhooks(
        &mut self,
        webhooks: &[WebhookName],
        pending: &Pending,
        backlogs: &mut Backlogs,
    ) -> Result<(), StoreError> {
        for webhook in webhooks {
            let sql = sql!("wake_notices");
            let query = sql.query().bind(webhook.as_str().to_owned()).bind(self.now.0);
            self.run(query).await.map_err(StoreError::during("set a webhook going"))?;
            let sql =
                "UPDATE webhook SET failing_since = NULL, disabled_at = NULL, disabled_reason = NULL WHERE name = $1";
            let query = both(sql).bind(webhook.as_str().to_owned());
            self.run(query).await.map_err(StoreError::during("set a webhook going"))?;
            backlog_of(backlogs, pending, webhook);
        }
        Ok(())
    }

    /// Adds what this transaction has webhooks told. The oldest of a webhook leave when too many wait.
    pub(super) async fn add_notices(
        &mut self,
        notices: &[NewNotice],
        pending: &Pending,
        backlogs: &mut Backlogs,
    ) -> Result<(), StoreError> {
        let during = || StoreError::during("write what webhooks are to be told");
        for rows in notices.chunks(ROWS_MAX) {
            let mut query = INSERT_NOTICES.query(rows.len());
            for notice in rows {
                let backlog = backlog_of(backlogs, pending, &notice.webhook);
                backlog.pending += 1;
                backlog.new += 1;
                query = query.bind(notice.webhook.as_str()).bind(notice.event).bind(self.now.0).bind(&notice.data);
            }
            self.run(query).await.map_err(during())?;
        }
        for (webhook, backlog) in backlogs.iter_mut().filter(|(_, backlog)| backlog.pending > NOTICES_MAX) {
            let over = backlog.pending - NOTICES_MAX;
            let sql = sql!("drop_notices");
            let limit = i64::try_from(over).expect("a backlog is bounded");
            let query = sql.query().bind(webhook.as_str().to_owned()).bind(limit);
            backlog.dropped = self.run(query).await.map_err(during())?;
            backlog.pending -= backlog.dropped;
            let sql = "INSERT INTO webhook (name, dropped) VALUES ($1, $2)
                       ON CONFLICT (name) DO UPDATE SET dropped = webhook.dropped + excluded.dropped";
            let dropped = i64::try_from(backlog.dropped).expect("a backlog is bounded");
            let query = both(sql).bind(webhook.as_str().to_owned()).bind(dropped);
            self.run(query).await.map_err(during())?;
        }
        Ok(())
    }

    async fn save_standing(&mut self, webhook: &WebhookName, standing: &WebhookStanding) -> Result<(), StoreError> {
        let (disabled_at, reason) = apart(standing.disabled.as_ref());
        let sql = "INSERT INTO webhook (name, failing_since, disabled_at, disabled_reason, given_up)
                   VALUES ($1, $2, $3, $4, $5)
                   ON CONFLICT (name) DO UPDATE SET failing_since = excluded.failing_since,
                       disabled_at = excluded.disabled_at, disabled_reason = excluded.disabled_reason,
                       given_up = excluded.given_up";
        let query = both(sql)
            .bind(webhook.as_str().to_owned())
            .bind(standing.failing_since.map(|at| at.0))
            .bind(disabled_at)
            .bind(reason)
            .bind(i64::try_from(standing.given_up).unwrap_or(i64::MAX));
        self.run(query).await.map(drop).map_err(StoreError::during("write how a webhook stands"))
    }
}

fn backlog_of<'a>(backlogs: &'a mut Backlogs, pending: &Pending, webhook: &WebhookName) -> &'a mut Backlog {
    backlogs
        .entry(webhook.clone())
        .or_insert_with(|| Backlog { pending: pending.get(webhook).copied().unwrap_or_default(), ..Backlog::default() })
}

impl Reader {
    /// Since when the oldest notice of each of these webhooks waits; of those where none waits, nothing is said.
    pub async fn oldest_notices(&self, webhooks: &[&WebhookName]) -> Result<Vec<(String, Timestamp)>, StoreError> {
        if webhooks.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = webhooks.iter().map(|name| name.as_str()).collect();
        let query = sql!("oldest_notices").query().bind(json(&names));
        let mut look = self.look().await?;
        let rows: Vec<(String, Option<i64>)> = query.fetch_json(&mut look, "look for the oldest notices").await?;
        Ok(rows.into_iter().filter_map(|(name, at)| Some((name, Timestamp(at?)))).collect())
    }

    /// What a webhook is still to be told, soonest due first.
    pub async fn notices(&self, webhook: &WebhookName, limit: u32) -> Result<Vec<NoticeRow>, StoreError> {
        let rows = sql!("due_notices")
            .query()
            .bind(webhook.as_str())
            .bind(limit)
            .fetch_all(&mut self.connection().await?)
            .await
            .map_err(StoreError::during("look for what a webhook is to be told"))?;
        Ok(rows
            .iter()
            .map(|row| NoticeRow {
                id: NoticeId(row.get(0)),
                event: row.get(1),
                happened_at: Timestamp(row.get(2)),
                data: row.get(3),
                attempts: row.get(4),
                due_at: Timestamp(row.get(5)),
            })
            .collect())
    }
}
