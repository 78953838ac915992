//! Reading for people and for the API: read-only connections, one short statement each, a page at a time.

use std::time::Duration;

use tidings_model::credential::usable_if_ends_after;
use tidings_model::limits::PAGE_ROWS_MAX;
use tidings_model::{AppName, CredentialId, MessageId, RunId, State, Timestamp};

use super::row::instant;
use crate::batch::{ChannelId, TemplateId, Waiting};
use crate::error::StoreError;
use crate::postgres::Lease;
use crate::read::{AttemptRow, Counts, CredentialFilter, CredentialRow, MessageRow, Page, ReasonRow};
use crate::sql::{Builder, Connection, Look, Pool, Row, Statement, both, sql};

/// Reads, and changes nothing. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reader {
    pub(super) pool: Pool,
    /// Which engine this is, where there are several.
    pub(super) lease: Lease,
}

const RECIPIENTS: Statement = Statement::new(
    "SELECT DISTINCT c.recipient FROM credential AS c JOIN json_each($2) AS s ON c.source = s.value ->> 0
     WHERE c.app = $1 AND c.bound_to IS NULL AND c.uses_left > 0 AND (c.scope IS NULL OR c.scope = $3)
       AND (c.expires_at IS NULL OR c.expires_at > s.value ->> 1) AND c.recipient > $4
     ORDER BY c.recipient LIMIT $5",
    "SELECT DISTINCT c.recipient FROM credential AS c
     JOIN json_array_elements($2::json) AS s ON c.source = s.value ->> 0
     WHERE c.app = $1 AND c.bound_to IS NULL AND c.uses_left > 0 AND (c.scope IS NULL OR c.scope = $3)
       AND (c.expires_at IS NULL OR c.expires_at > (s.value ->> 1)::bigint) AND c.recipient > $4
     ORDER BY c.recipient LIMIT $5",
);

/// Each node of PostgreSQL's counts in rows of its own.
const COUNTS: Statement = Statement::new(
    "SELECT c.name, t.state, t.count FROM tally AS t JOIN channel AS c ON c.id = t.channel_id ORDER BY c.name, t.state",
    "SELECT c.name, t.state, sum(t.count)::bigint FROM tally AS t JOIN channel AS c ON c.id = t.channel_id
     GROUP BY c.name, t.state ORDER BY c.name, t.state",
);

const BODY: Statement = Statement::new(
    "SELECT data, trace FROM body WHERE message_id = $1",
    "SELECT data, trace FROM message WHERE id = $1",
);

const CREDENTIAL: &str =
    "SELECT id, app, source, recipient, scope, uses_left, expires_at, bound_to, created_at FROM credential WHERE true";

impl Reader {
    /// How many of its connections are with nobody, and ready.
    pub fn at_rest(&self) -> usize {
        self.pool.at_rest()
    }

    pub(crate) fn new(pool: Pool, lease: Lease) -> Reader {
        Reader { pool, lease }
    }

    /// A look at the store as it is now: what is written meanwhile is not in it. It ends with its answer.
    pub(super) async fn look(&self) -> Result<Look, StoreError> {
        self.pool.look().await.map_err(StoreError::during("look at the store"))
    }

    /// A connection for one statement.
    pub(super) async fn connection(&self) -> Result<Connection, StoreError> {
        self.pool.acquire().await.map_err(StoreError::during("connect to the store"))
    }

    /// Where its connections come from.
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// One message with its data, and its attempts in order.
    pub async fn message(&self, id: MessageId) -> Result<Option<(MessageRow, Vec<AttemptRow>)>, StoreError> {
        let during = || StoreError::during("read a message");
        let Some(row) =
            super::select::message(id).build().fetch_optional(&mut self.connection().await?).await.map_err(during())?
        else {
            return Ok(None);
        };
        let mut message = message_row(&row)?;
        let body = BODY.query().bind(id.0).fetch_optional(&mut self.connection().await?).await.map_err(during())?;
        if let Some(body) = body {
            (message.data, message.trace) = (body.get(0), body.get(1));
        }
        let attempts = both("SELECT generation, started_at, ended_at, outcome, detail FROM attempt WHERE message_id = $1 ORDER BY generation")
        .bind(id.0)
        .fetch_all(&mut self.connection().await?)
        .await
        .map_err(during())?
        .iter()
        .map(|row| AttemptRow {
            generation: row.get(0),
            started_at: Timestamp(row.get(1)),
            ended_at: Timestamp(row.get(2)),
            outcome: row.get(3),
            detail: row.get(4),
        })
        .collect();
        Ok(Some((message, attempts)))
    }

    /// The messages of these states by channel, reason and template, the largest group first; and whether there are
    /// more groups than one answer has. Reads every message of these states once, in an index.
    ///
    /// # Panics
    ///
    /// On a state that is not one of [`State::is_dead`].
    pub async fn reasons(&self, states: &[State], channel: Option<&str>) -> Result<(Vec<ReasonRow>, bool), StoreError> {
        let mut groups = Vec::new();
        for state in states {
            assert!(state.is_dead(), "{state} messages are not looked at by reason");
            let rows = sql!("count_reasons")
                .query()
                .bind(state.code())
                .bind(channel)
                .bind(PAGE_ROWS_MAX + 1)
                .fetch_all(&mut self.connection().await?)
                .await
                .map_err(StoreError::during("count messages by reason"))?;
            groups.extend(rows.iter().map(|row| ReasonRow {
                channel: row.get(0),
                reason: row.get(1),
                template: row.get(2),
                state: *state,
                count: row.get(3),
                oldest_at: Timestamp(row.get(4)),
                newest_at: Timestamp(row.get(5)),
                newest: MessageId(row.get(6)),
            }));
        }
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        let most = usize::try_from(PAGE_ROWS_MAX).expect("a page fits into memory");
        let more = groups.len() > most;
        groups.truncate(most);
        Ok((groups, more))
    }

    /// Credentials, newest first, without their values.
    pub async fn credentials(&self, filter: &CredentialFilter) -> Result<Page<CredentialRow>, StoreError> {
        let mut query = Builder::new(CREDENTIAL);
        if let Some(source) = &filter.source {
            query.push(" AND source = ").push_bind(source);
        }
        if let Some(recipient) = &filter.recipient {
            query.push(" AND recipient = ").push_bind(recipient);
        }
        if filter.usable {
            query.push(" AND bound_to IS NULL AND uses_left > 0");
        }
        if let Some(before) = filter.before {
            query.push(" AND id < ").push_bind(before);
        }
        let rows = self.newest(query, "id", filter.limit).await?;
        let rows: Vec<CredentialRow> = rows
            .iter()
            .map(|row| CredentialRow {
                id: CredentialId(row.get(0)),
                app: row.get(1),
                source: row.get(2),
                recipient: row.get(3),
                scope: row.get(4),
                uses_left: row.get(5),
                expires_at: instant(row, 6),
                bound_to: row.get::<Option<i64>>(7).map(MessageId),
                created_at: Timestamp(row.get(8)),
            })
            .collect();
        let last = rows.last().map(|row| row.id.0);
        Ok(page(rows, filter.limit, last))
    }

    /// A page of the messages that wait for a credential, in the order of their recipients, after that one.
    pub async fn waiting(&self, after: Option<&(String, MessageId)>) -> Result<Vec<Waiting>, StoreError> {
        let (recipient, message) = after.map_or(("", 0), |(recipient, message)| (recipient.as_str(), message.0));
        let rows = both(
            "SELECT id, channel_id, template_id, recipient FROM message
             WHERE state = 2 AND (recipient, id) > ($1, $2) ORDER BY recipient, id LIMIT $3",
        )
        .bind(recipient)
        .bind(message)
        .bind(PAGE_ROWS_MAX)
        .fetch_all(&mut self.connection().await?)
        .await
        .map_err(StoreError::during("list what waits"))?;
        let waiting = |row: &Row| Waiting {
            message: MessageId(row.get(0)),
            channel: ChannelId(row.get(1)),
            template: TemplateId(row.get(2)),
            recipient: row.get(3),
        };
        Ok(rows.iter().map(waiting).collect())
    }

    /// Everyone with a usable credential of one of these sources, for this scope or any: the audience of a broadcast,
    /// a page at a time in the order of their names.
    pub async fn recipients_with_credential(
        &self,
        app: &AppName,
        sources: &[(String, Duration)],
        scope: &str,
        now: Timestamp,
        after: Option<&str>,
    ) -> Result<Vec<String>, StoreError> {
        let rules: Vec<(&str, i64)> =
            sources.iter().map(|(source, margin)| (source.as_str(), usable_if_ends_after(*margin, now).0)).collect();
        RECIPIENTS
            .query()
            .bind(app.as_str())
            .bind(crate::sql::json(&rules))
            .bind(scope)
            .bind(after.unwrap_or_default())
            .bind(PAGE_ROWS_MAX)
            .fetch_scalars(&mut self.connection().await?)
            .await
            .map_err(StoreError::during("list who can be reached"))
    }

    /// The counts that the writer keeps.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        let rows = COUNTS
            .query()
            .fetch_all(&mut self.connection().await?)
            .await
            .map_err(StoreError::during("read the counts"))?;
        let messages = rows.iter().map(|row| Ok((row.get(0), state(row, 1)?, row.get(2)))).collect::<Result<_, _>>()?;
        Ok(Counts { messages })
    }

    pub(super) async fn newest(
        &self,
        mut query: Builder<'_>,
        id: &'static str,
        limit: u32,
    ) -> Result<Vec<Row>, StoreError> {
        query.push(" ORDER BY ").push(id).push(" DESC LIMIT ").push_bind(limit.min(PAGE_ROWS_MAX));
        query.build().fetch_all(&mut self.connection().await?).await.map_err(StoreError::during("read a list"))
    }
}

/// A page of rows, the last of which has that id, out of a walk that ended there; `None` if it came to the end.
pub(super) fn page_of<T>(rows: Vec<T>, limit: u32, last: Option<i64>, end: Option<i64>) -> Page<T> {
    let full = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    Page { rows, next: if full { last } else { end } }
}

pub(super) fn page<T>(rows: Vec<T>, limit: u32, last: Option<i64>) -> Page<T> {
    let full = rows.len() >= usize::try_from(limit.min(PAGE_ROWS_MAX)).unwrap_or(usize::MAX);
    Page { rows, next: if full { last } else { None } }
}

pub(super) fn state(row: &Row, index: usize) -> Result<State, StoreError> {
    let code = row.get(index);
    State::from_code(code).ok_or_else(|| StoreError::Corrupt(format!("{code} is no state")))
}

pub(super) fn message_row(row: &Row) -> Result<MessageRow, StoreError> {
    Ok(MessageRow {
        id: MessageId(row.get(0)),
        channel: row.get(1),
        template: row.get(2),
        recipient: row.get(3),
        state: state(row, 4)?,
        priority: row.get(5),
        due_at: Timestamp(row.get(6)),
        attempts: row.get(7),
        ambiguous: row.get(8),
        expires_at: instant(row, 9),
        created_at: Timestamp(row.get(10)),
        finished_at: instant(row, 11),
        reason: row.get(12),
        detail: row.get(13),
        provider_id: row.get(14),
        run: row.get::<Option<i64>>(15).map(RunId),
        data: None,
        trace: None,
    })
}
