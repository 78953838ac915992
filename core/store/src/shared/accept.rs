//! Taking in: messages with their idempotency keys, and credentials into the ledger.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::LazyLock;

use tidings_model::limits::IDEMPOTENCY_LIFE;
use tidings_model::{AppName, CredentialId, MessageId, State, Timestamp};

use super::suppression::Suppressed;
use super::tally::Moves;
use super::tick::{Numbered, Step};
use crate::batch::{Accepted, ChannelId, CredentialIntake, NewCredential, NewMessage};
use crate::error::{StoreError, TRIES_MAX};
use crate::sql::{Connection, Dialect, Query, ROWS_MAX, RowsStatement, Statement, json, sql};

/// SQLite takes messages, their bodies, and their keys if one of them has any, in one hop.
static INSERT_MESSAGES: LazyLock<RowsStatement> =
    LazyLock::new(|| RowsStatement::one_after_the_other(&[MESSAGES, BODIES]));
static INSERT_KEYED_MESSAGES: LazyLock<RowsStatement> =
    LazyLock::new(|| RowsStatement::one_after_the_other(&[MESSAGES, BODIES, KEYS]));
const MESSAGES: &str = include_str!("../../sql/sqlite/insert_messages.sql");
const BODIES: &str = include_str!("../../sql/sqlite/insert_bodies.sql");
const KEYS: &str = include_str!("../../sql/sqlite/insert_keys.sql");

/// PostgreSQL has the body in the message's row, and takes the keys in the same round trip.
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

/// Binds a message in the order of `insert_messages.sql`, behind its id.
fn message_row<'q>(query: Query<'q>, message: &'q NewMessage, now: Timestamp) -> Query<'q> {
    let (due_at, state) = begins(message, now);
    query
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

/// Until when a key is taken.
fn key_expires_at(now: Timestamp) -> i64 {
    now.after(IDEMPOTENCY_LIFE).0
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
    find_keys(BEGIN_AND_FIND_KEYS, connection, messages.iter(), now).await
}

async fn find_keys<'m>(
    statement: Statement,
    connection: &mut Connection,
    messages: impl Iterator<Item = &'m NewMessage>,
    now: Timestamp,
) -> Result<Taken, StoreError> {
    let keys: Vec<&str> = messages.filter_map(|message| message.key.as_ref()).map(|key| key.as_str()).collect();
    let query = statement.query().bind(json(&keys)).bind(now.0);
    let found: Vec<(String, i64, i64)> = query.fetch_json(connection, ACCEPT).await?;
    Ok(found.into_iter().map(|(key, message, hash)| (key, (message, hash))).collect())
}

/// Whether one of them has a key.
pub(super) fn any_keyed(messages: &[NewMessage]) -> bool {
    messages.iter().any(|message| message.key.is_some())
}

/// What becomes of a message that comes.
enum Lot {
    /// It is kept out.
    Out(Accepted),
    /// It is written, as that row.
    Row(usize),
    /// It has the key of that row.
    Like(usize),
}

impl Lot {
    /// The answer, once it is known which rows were written; `None` if its key was met, and nobody knows whose it is.
    fn answer(self, message: &NewMessage, rows: &[&NewMessage], ids: &[Option<i64>]) -> Option<Accepted> {
        match self {
            Lot::Out(accepted) => Some(accepted),
            Lot::Row(row) => ids[row].map(|id| Accepted::New(MessageId(id))),
            Lot::Like(row) => ids[row].map(|id| repeats((id, rows[row].body_hash), message)),
        }
    }
}

/// What is answered to a message whose key is that of another.
fn repeats((first, hash): (i64, i64), message: &NewMessage) -> Accepted {
    let first = MessageId(first);
    if hash == message.body_hash { Accepted::Repeat(first) } else { Accepted::KeyTaken(first) }
}

/// What keeps messages out.
#[derive(Default)]
struct Bars<'a> {
    taken: Taken,
    suppressed: Option<(&'a Suppressed, &'a HashMap<ChannelId, AppName>)>,
    /// Places of messages whose run has ended.
    over: &'a [Range<usize>],
}

/// Which messages are to be written, and what becomes of the others as far as it is known before.
fn cast<'m>(messages: &[&'m NewMessage], bars: &Bars<'_>) -> (Vec<Lot>, Vec<&'m NewMessage>) {
    let (mut lots, mut rows) = (Vec::with_capacity(messages.len()), Vec::with_capacity(messages.len()));
    let mut keys: HashMap<&str, usize> = HashMap::new();
    for (index, message) in messages.iter().copied().enumerate() {
        let key = message.key.as_ref().map(|key| key.as_str());
        let until = |(suppressed, apps): (&Suppressed, &HashMap<ChannelId, AppName>)| {
            let app = apps.get(&message.channel)?.to_string();
            suppressed.get(&(app, message.recipient.to_string())).copied()
        };
        let lot = if bars.over.iter().any(|messages| messages.contains(&index)) {
            Lot::Out(Accepted::RunOver)
        } else if let Some(first) = key.and_then(|key| bars.taken.get(key)) {
            Lot::Out(repeats(*first, message))
        } else if let Some(row) = key.and_then(|key| keys.get(key)) {
            // Two of the same key in one batch: the first of them wins.
            Lot::Like(*row)
        } else if let Some(until) = bars.suppressed.and_then(until) {
            Lot::Out(Accepted::Suppressed(until))
        } else {
            rows.push(message);
            keys.extend(key.map(|key| (key, rows.len() - 1)));
            Lot::Row(rows.len() - 1)
        };
        lots.push(lot);
    }
    (lots, rows)
}

/// The places of those that are not answered.
pub(super) fn unanswered(answers: &[Option<Accepted>]) -> Vec<usize> {
    (0..answers.len()).filter(|place| answers[*place].is_none()).collect()
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
        let messages: Vec<&NewMessage> = messages.iter().collect();
        let mut answers = self.accept_new(&messages, taken, suppressed, over, apps).await?;
        for _ in 0..TRIES_MAX {
            let met = unanswered(&answers);
            if met.is_empty() {
                break;
            }
            let whose: Vec<&NewMessage> = met.iter().map(|place| messages[*place]).collect();
            let found = self.accept_met(&whose).await?;
            met.into_iter().zip(found).for_each(|(place, answer)| answers[place] = answer);
        }
        answers.into_iter().collect::<Option<_>>().ok_or(StoreError::Contended)
    }

    /// Accepts them as far as their keys are free; `None` for one whose key was met. PostgreSQL says it as it writes, SQLite
    /// has looked before.
    pub(super) async fn accept_new(
        &mut self,
        messages: &[&NewMessage],
        taken: Option<Taken>,
        suppressed: &Suppressed,
        over: &[Range<usize>],
        apps: &HashMap<ChannelId, AppName>,
    ) -> Result<Vec<Option<Accepted>>, StoreError> {
        let is_keyed = || messages.iter().any(|message| message.key.is_some());
        let taken = match taken {
            Some(taken) => taken,
            // A key that is taken is told before anything else that keeps a message out.
            None if !suppressed.is_empty() && is_keyed() => self.find_keys(messages).await?,
            None => Taken::new(),
        };
        let suppressed = (!suppressed.is_empty()).then_some((suppressed, apps));
        self.write(messages, &Bars { taken, suppressed, over }).await
    }

    /// Answers for those whose key was met. It may be free again by now: then the message is accepted; `None` if it was met once
    /// more. It may be asked again whatever came of it before.
    pub(super) async fn accept_met(&mut self, messages: &[&NewMessage]) -> Result<Vec<Option<Accepted>>, StoreError> {
        let taken = self.find_keys(messages).await?;
        self.write(messages, &Bars { taken, ..Bars::default() }).await
    }

    async fn find_keys(&mut self, messages: &[&NewMessage]) -> Result<Taken, StoreError> {
        find_keys(sql!("find_keys"), self.connection, messages.iter().copied(), self.now).await
    }

    async fn write(&mut self, messages: &[&NewMessage], bars: &Bars<'_>) -> Result<Vec<Option<Accepted>>, StoreError> {
        let (lots, rows) = cast(messages, bars);
        let ids = match self.connection.dialect() {
            Dialect::Sqlite => self.write_apart(&rows).await?,
            Dialect::Postgres => self.write_whole(&rows).await?,
        };
        for (id, message) in ids.iter().zip(&rows) {
            let Some(id) = id else { continue };
            let (due_at, state) = begins(message, self.now);
            self.moves.enter(message.channel, state);
            if state == State::Queued {
                self.floors.came(message.channel, message.priority.into(), (due_at.0, *id));
            }
        }
        Ok(lots.into_iter().zip(messages).map(|(lot, message)| lot.answer(message, &rows, &ids)).collect())
    }

    /// The id of each.
    async fn write_apart(&mut self, rows: &[&NewMessage]) -> Result<Vec<Option<i64>>, StoreError> {
        let ids = self.new_ids(Numbered::Message, rows.len()).await?;
        let numbered: Vec<(i64, &NewMessage)> = ids.iter().copied().zip(rows.iter().copied()).collect();
        for rows in numbered.chunks(ROWS_MAX) {
            self.insert_apart(rows).await?;
        }
        Ok(ids.into_iter().map(Some).collect())
    }

    /// The id of each whose key was free.
    async fn write_whole(&mut self, rows: &[&NewMessage]) -> Result<Vec<Option<i64>>, StoreError> {
        let mut ids = Vec::with_capacity(rows.len());
        for rows in rows.chunks(ROWS_MAX) {
            ids.append(&mut self.insert_whole(rows).await?);
        }
        Ok(ids)
    }

    /// Into three tables, in one hop.
    async fn insert_apart(&mut self, rows: &[(i64, &NewMessage)]) -> Result<(), StoreError> {
        let is_keyed = rows.iter().any(|(_, message)| message.key.is_some());
        let statement = if is_keyed { &INSERT_KEYED_MESSAGES } else { &INSERT_MESSAGES };
        let mut query = statement.query(rows.len());
        for (id, message) in rows {
            query = message_row(query.bind(*id), message, self.now);
        }
        query = statement.end_list(0, rows.len(), query);
        for (id, message) in rows {
            query = query.bind(*id).bind(&message.data).bind(&message.trace);
        }
        if is_keyed {
            query = statement.end_list(1, rows.len(), query);
            for (id, message) in rows {
                let key = message.key.as_ref().map(|key| key.as_str());
                query = query.bind(key).bind(*id).bind(message.body_hash).bind(key_expires_at(self.now));
            }
        }
        self.run(query).await.map(drop).map_err(StoreError::during(ACCEPT))
    }

    /// Into two tables, in one round trip, and counted with it where that is wanted. It answers with the id of each; without
    /// one its key is taken.
    async fn insert_whole(&mut self, rows: &[&NewMessage]) -> Result<Vec<Option<i64>>, StoreError> {
        let is_keyed = rows.iter().any(|message| message.key.is_some());
        let statement = if is_keyed { &INSERT_WHOLE_MESSAGES } else { &INSERT_UNKEYED_MESSAGES };
        let mut query = statement.query(rows.len());
        for message in rows {
            query = message_row(query, message, self.now).bind(&message.data).bind(&message.trace);
            if is_keyed {
                let key = message.key.as_ref().map(|key| key.as_str());
                query = query.bind(key).bind(message.body_hash).bind(key_expires_at(self.now));
            }
        }
        query = match is_keyed {
            true => query.bind_postgres(self.now.0).bind_postgres(self.counts_as),
            false => query.bind_postgres(self.counts_as).bind_postgres(json(&self.counts_of(rows))),
        };
        query.fetch_json(self.connection, ACCEPT).await
    }

    /// How many of these begin where, if they are counted with them.
    fn counts_of(&self, rows: &[&NewMessage]) -> Vec<(i64, i64, i64)> {
        let mut moves = Moves::default();
        if self.counts_as.is_some() {
            rows.iter().for_each(|message| moves.enter(message.channel, begins(message, self.now).1));
        }
        moves.rows()
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
