//! Taking in: messages with their idempotency keys, and credentials into the ledger.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::LazyLock;

use tidings_model::limits::IDEMPOTENCY_LIFE;
use tidings_model::{AppName, CredentialId, MessageId, State};

use super::rows::{ROWS_MAX, RowsStatement, fetch_json};
use super::suppression::Suppressed;
use super::tick::{Step, json};
use crate::batch::{Accepted, ChannelId, CredentialIntake, NewCredential, NewMessage};
use crate::error::StoreError;

/// Messages, their bodies, and their keys if one of them has any.
static INSERT_MESSAGES: LazyLock<RowsStatement> = LazyLock::new(|| {
    RowsStatement::one_after_the_other(&[
        include_str!("../../sql/sqlite/insert_messages.sql"),
        include_str!("../../sql/sqlite/insert_bodies.sql"),
    ])
});
static INSERT_KEYED_MESSAGES: LazyLock<RowsStatement> = LazyLock::new(|| {
    RowsStatement::one_after_the_other(&[
        include_str!("../../sql/sqlite/insert_messages.sql"),
        include_str!("../../sql/sqlite/insert_bodies.sql"),
        include_str!("../../sql/sqlite/insert_keys.sql"),
    ])
});
static INSERT_CREDENTIALS: LazyLock<RowsStatement> =
    LazyLock::new(|| RowsStatement::new(include_str!("../../sql/sqlite/insert_credentials.sql")));

impl Step<'_> {
    pub(super) async fn accept(
        &mut self,
        messages: &[NewMessage],
        last_message: i64,
        suppressed: &Suppressed,
        over: &[Range<usize>],
        apps: &HashMap<ChannelId, AppName>,
    ) -> Result<Vec<Accepted>, StoreError> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let during = || StoreError::during("accept messages");
        let keys: Vec<&str> =
            messages.iter().filter_map(|message| message.key.as_ref()).map(|key| key.as_str()).collect();
        let mut taken: HashMap<String, (i64, i64)> = HashMap::new();
        if !keys.is_empty() {
            let query = sqlx::query(include_str!("../../sql/sqlite/find_keys.sql")).bind(json(&keys)).bind(self.now.0);
            let found: Vec<(String, i64, i64)> = fetch_json(query, self.connection, "accept messages").await?;
            taken.extend(found.into_iter().map(|(key, message, hash)| (key, (message, hash))));
        }
        let mut answers = Vec::with_capacity(messages.len());
        let mut rows = Vec::with_capacity(messages.len());
        for (index, (id, message)) in (last_message + 1..).zip(messages).enumerate() {
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
            self.insert_messages(rows).await.map_err(during())?;
        }
        Ok(answers)
    }

    pub(super) async fn insert_messages(&mut self, rows: &[(i64, &NewMessage)]) -> Result<(), sqlx::Error> {
        let is_keyed = rows.iter().any(|(_, message)| message.key.is_some());
        let statement = if is_keyed { &INSERT_KEYED_MESSAGES } else { &INSERT_MESSAGES };
        let mut query = statement.query(rows.len());
        for (id, message) in rows {
            let due_at = message.send_at.unwrap_or(self.now).max(self.now);
            let state = if due_at > self.now { State::Scheduled } else { State::Queued };
            self.moves.enter(message.channel, state);
            query = query
                .bind(*id)
                .bind(message.channel.0)
                .bind(message.template.0)
                .bind(message.recipient.as_str())
                .bind(state.code())
                .bind(message.priority)
                .bind(due_at.0)
                .bind(message.expires_at.map(|at| at.0))
                .bind(message.run.map(|run| run.0))
                .bind(self.now.0);
        }
        query = statement.end_list(0, rows.len(), query);
        for (id, message) in rows {
            query = query.bind(*id).bind(&message.data).bind(&message.trace);
        }
        if is_keyed {
            query = statement.end_list(1, rows.len(), query);
            let forgotten_at = self.now.after(IDEMPOTENCY_LIFE).0;
            for (id, message) in rows {
                let key = message.key.as_ref().map(|key| key.as_str());
                query = query.bind(key).bind(*id).bind(message.body_hash).bind(forgotten_at);
            }
        }
        self.run(query).await.map(drop)
    }

    pub(super) async fn take_credentials(
        &mut self,
        credentials: &[NewCredential],
        last_credential: i64,
    ) -> Result<Vec<CredentialIntake>, StoreError> {
        if credentials.is_empty() {
            return Ok(Vec::new());
        }
        let during = || StoreError::during("take credentials in");
        let rows: Vec<(i64, &NewCredential)> = (last_credential + 1..).zip(credentials).collect();
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
            let query = sqlx::query(include_str!("../../sql/sqlite/inserted_credentials.sql")).bind(last_credential);
            fetch_json(query, self.connection, "take credentials in").await?
        };
        let (mut answers, mut recipients) = (Vec::with_capacity(credentials.len()), Vec::new());
        for (id, new) in (last_credential + 1..).zip(credentials) {
            if is_new.contains(&id) {
                recipients.push(new.recipient.as_str().to_owned());
                answers.push(CredentialIntake::New(CredentialId(id)));
            } else {
                answers.push(CredentialIntake::Repeated);
            }
        }
        self.wake(&recipients).await?;
        Ok(answers)
    }
}
