//! Taking in: messages with their idempotency keys, and credentials into the ledger.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::LazyLock;

use tidings_model::limits::IDEMPOTENCY_LIFE;
use tidings_model::{AppName, CredentialId, MessageId, State, Timestamp};

use super::suppression::Suppressed;
use super::tick::{Manner, Numbered, Step, length};
use crate::batch::{Accepted, ChannelId, CredentialIntake, NewCredential, NewMessage};
use crate::error::StoreError;
use crate::sql::{Connection, Dialect, Query, ROWS_MAX, RowsStatement, Statement, json, sql};

/// SQLite takes messages, their bodies, and their keys if one of them has any, in one hop.
static INSERT_MESSAGES: LazyLock<RowsStatement> =
    LazyLock::new(|| RowsStatement::one_after_the_other(&[MESSAGES, BODIES]));
static INSERT_KEYED_MESSAGES: LazyLock<RowsStatement> =
    LazyLock::new(|| RowsStatement::one_after_the_other(&[MESSAGES, BODIES, KEYS]));
const MESSAGES: &str = include_str!("../../sql/sqlite/insert_messages.sql");
const BODIES: &str = include_str!("../../sql/sqlite/insert_bodies.sql");
const KEYS: &str = include_str!("../../sql/sqlite/insert_keys.sql");

/// PostgreSQL has the body in the message's row, and takes the keys in the same statement.
static INSERT_WHOLE_MESSAGES: LazyLock<RowsStatement> =
    LazyLock::new(|| RowsStatement::of_postgres(include_str!("../../sql/postgres/insert_messages.sql")));
static INSERT_UNKEYED_MESSAGES: LazyLock<RowsStatement> =
    LazyLock::new(|| RowsStatement::of_postgres(include_str!("../../sql/postgres/insert_unkeyed_messages.sql")));
static INSERT_CREDENTIALS: LazyLock<RowsStatement> = LazyLock::new(|| RowsStatement::new(sql!("insert_credentials")));

const ACCEPT: &str = "accept messages";

/// When a message is due, and where it begins.
pub(super) fn begins(message: &NewMessage, now: Timestamp) -> (Timestamp, State) {
    let due_at = message.send_at.unwrap_or(now).max(now);
    (due_at, if due_at > now { State::Scheduled } else { State::Queued })
}

/// Binds a message in the order of `insert_messages.sql`.
fn message_row<'q>(query: Query<'q>, id: i64, message: &'q NewMessage, now: Timestamp) -> Query<'q> {
    let (due_at, state) = begins(message, now);
    query
        .bind(id)
        .bind(message.channel.0)
        .bind(message.template.0)
        .bind(message.recipient.as_str())
        .bind(state.code())
        .bind(message.priority)
        .bind(due_at.0)
        .bind(message.expires_at.map(|at| at.0))
        .bind(message.run.map(|run| run.0))
        .bind(now.0)
}

/// Binds a key in the order of `insert_keys.sql`.
fn key_row<'q>(query: Query<'q>, id: i64, message: &'q NewMessage, now: Timestamp) -> Query<'q> {
    let key = message.key.as_ref().map(|key| key.as_str());
    query.bind(key).bind(id).bind(message.body_hash).bind(now.after(IDEMPOTENCY_LIFE).0)
}

/// Idempotency keys that are taken: by which message, and what its request was.
pub(super) type Taken = HashMap<String, (i64, i64)>;

/// No step before the messages has to do with keys: SQLite begins and looks for them in one hop.
const BEGIN_AND_FIND_KEYS: Statement =
    Statement::of_sqlite(concat!("BEGIN IMMEDIATE;\n", include_str!("../../sql/sqlite/find_keys.sql")));

/// Begins a transaction of SQLite that takes these messages, and says which of their keys are taken.
pub(super) async fn begin_and_find_keys(
    connection: &mut Connection,
    messages: &[NewMessage],
    now: Timestamp,
) -> Result<Taken, StoreError> {
    find_keys(BEGIN_AND_FIND_KEYS, connection, messages, now).await
}

async fn find_keys(
    statement: Statement,
    connection: &mut Connection,
    messages: &[NewMessage],
    now: Timestamp,
) -> Result<Taken, StoreError> {
    let keys: Vec<&str> = messages.iter().filter_map(|message| message.key.as_ref()).map(|key| key.as_str()).collect();
    let query = statement.query().bind(json(&keys)).bind(now.0);
    let found: Vec<(String, i64, i64)> = query.fetch_json(connection, ACCEPT).await?;
    Ok(found.into_iter().map(|(key, message, hash)| (key, (message, hash))).collect())
}

/// Whether one of them has a key.
pub(super) fn any_keyed(messages: &[NewMessage]) -> bool {
    messages.iter().any(|message| message.key.is_some())
}

/// Whether one of them met a key that was there.
pub(super) fn meets_keys(accepted: &[Accepted]) -> bool {
    accepted.iter().any(|accepted| matches!(accepted, Accepted::Repeat(_) | Accepted::KeyTaken(_)))
}

impl Step<'_> {
    /// `taken` are the keys that are, where that was looked for already.
    pub(super) async fn accept(
        &mut self,
        messages: &[NewMessage],
        taken: Option<Taken>,
        suppressed: &Suppressed,
        over: &[Range<usize>],
        apps: &HashMap<ChannelId, AppName>,
    ) -> Result<Vec<Accepted>, StoreError> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let mut taken = match taken {
            Some(taken) => taken,
            // A key that is taken is told before anything else that keeps a message out.
            None if any_keyed(messages) && (self.looks_for_keys || !suppressed.is_empty()) => {
                find_keys(sql!("find_keys"), self.connection, messages, self.now).await?
            }
            None => Taken::new(),
        };
        let mut answers = Vec::with_capacity(messages.len());
        let mut rows = Vec::with_capacity(messages.len());
        let ids = self.new_ids(Numbered::Message, messages.len()).await?;
        for (index, (id, message)) in ids.into_iter().zip(messages).enumerate() {
            if over.iter().any(|messages| messages.contains(&index)) {
                answers.push(Accepted::RunOver);
                continue;
            }
            if let Some(key) = &message.key
                && let Some((first, hash)) = taken.get(key.as_str())
            {
                let same = *hash == message.body_hash;
                let first = MessageId(*first);
                answers.push(if same { Accepted::Repeat(first) } else { Accepted::KeyTaken(first) });
                continue;
            }
            if !suppressed.is_empty()
                && let Some(app) = apps.get(&message.channel)
                && let Some(until) = suppressed.get(&(app.to_string(), message.recipient.to_string()))
            {
                answers.push(Accepted::Suppressed(*until));
                continue;
            }
            if let Some(key) = &message.key {
                // Two of the same key in one batch: the first of them wins.
                taken.insert(key.as_str().to_owned(), (id, message.body_hash));
            }
            rows.push((id, message));
            answers.push(Accepted::New(MessageId(id)));
        }
        for rows in rows.chunks(ROWS_MAX) {
            self.insert_messages(rows).await?;
        }
        Ok(answers)
    }

    async fn insert_messages(&mut self, rows: &[(i64, &NewMessage)]) -> Result<(), StoreError> {
        for (id, message) in rows {
            let (due_at, state) = begins(message, self.now);
            self.moves.enter(message.channel, state);
            if state == State::Queued {
                self.floors.came(message.channel, message.priority.into(), (due_at.0, *id));
            }
        }
        match self.connection.dialect() {
            Dialect::Sqlite => self.insert_apart(rows).await,
            Dialect::Postgres => self.insert_whole(rows).await,
        }
    }

    /// Into three tables, in one hop.
    async fn insert_apart(&mut self, rows: &[(i64, &NewMessage)]) -> Result<(), StoreError> {
        let is_keyed = rows.iter().any(|(_, message)| message.key.is_some());
        let statement = if is_keyed { &INSERT_KEYED_MESSAGES } else { &INSERT_MESSAGES };
        let mut query = statement.query(rows.len());
        for (id, message) in rows {
            query = message_row(query, *id, message, self.now);
        }
        query = statement.end_list(0, rows.len(), query);
        for (id, message) in rows {
            query = query.bind(*id).bind(&message.data).bind(&message.trace);
        }
        if is_keyed {
            query = statement.end_list(1, rows.len(), query);
            for (id, message) in rows {
                query = key_row(query, *id, message, self.now);
            }
        }
        self.run(query).await.map(drop).map_err(StoreError::during(ACCEPT))
    }

    /// Into two tables, in one round trip. A key may be taken that nobody looked for, or that another engine took since:
    /// then the transaction begins again, and finds it.
    async fn insert_whole(&mut self, rows: &[(i64, &NewMessage)]) -> Result<(), StoreError> {
        let is_keyed = rows.iter().any(|(_, message)| message.key.is_some());
        let statement = if is_keyed { &INSERT_WHOLE_MESSAGES } else { &INSERT_UNKEYED_MESSAGES };
        let mut query = statement.query(rows.len());
        for (id, message) in rows {
            query = message_row(query, *id, message, self.now).bind(&message.data).bind(&message.trace);
            if is_keyed {
                query = key_row(query, *id, message, self.now);
            }
        }
        if !is_keyed {
            return self.run(query).await.map(drop).map_err(StoreError::during(ACCEPT));
        }
        let query = query.bind_postgres(self.now.0);
        let written = query.fetch_one(self.connection).await.map_err(StoreError::during(ACCEPT))?.get::<i64>(0);
        let keyed = rows.iter().filter(|(_, message)| message.key.is_some()).count();
        match self.manner {
            _ if written == length(keyed) => Ok(()),
            Manner::Counts => Err(StoreError::Late),
            Manner::Looks => Err(StoreError::Contended),
        }
    }

    pub(super) async fn take_credentials(
        &mut self,
        credentials: &[NewCredential],
    ) -> Result<Vec<CredentialIntake>, StoreError> {
        if credentials.is_empty() {
            return Ok(Vec::new());
        }
        let during = || StoreError::during("take credentials in");
        let ids = self.new_ids(Numbered::Credential, credentials.len()).await?;
        let rows: Vec<(i64, &NewCredential)> = ids.iter().copied().zip(credentials).collect();
        let mut inserted = 0;
        for rows in rows.chunks(ROWS_MAX) {
            let mut query = INSERT_CREDENTIALS.query(rows.len());
            for (id, new) in rows {
                query = query
                    .bind(*id)
                    .bind(new.app.as_str())
                    .bind(new.source.as_str())
                    .bind(new.recipient.as_str())
                    .bind(&new.scope)
                    .bind(&new.value)
                    .bind(&new.identity)
                    .bind(new.uses)
                    .bind(new.expires_at.map(|at| at.0))
                    .bind(self.now.0)
                    .bind(new.made_at.map(|at| at.0));
            }
            inserted += self.run(query).await.map_err(during())?;
        }
        let is_new: HashSet<i64> = if inserted == rows.len() as u64 {
            rows.iter().map(|row| row.0).collect()
        } else {
            let query = sql!("inserted_credentials").query().bind(json(&ids));
            query.fetch_json(self.connection, "take credentials in").await?
        };
        let mut answers = Vec::with_capacity(credentials.len());
        for (id, new) in ids.into_iter().zip(credentials) {
            if is_new.contains(&id) {
                self.freed.push(new.recipient.as_str().to_owned());
                answers.push(CredentialIntake::New(CredentialId(id)));
            } else {
                answers.push(CredentialIntake::Repeated);
            }
        }
        Ok(answers)
    }
}
