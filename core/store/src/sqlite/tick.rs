//! One transaction of the writer: the steps, in their order.
//!
//! Outcomes first, so that what they free can be claimed at once; claims last, so that they see everything. Each step
//! is one statement over a JSON array, or a few: never a statement per row on the hot path.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;
use std::time::Duration;

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Connection as _, Row as _, Sqlite};
use tidings_model::limits::{IDEMPOTENCY_LIFE, TICK_PROMOTIONS_MAX};
use tidings_model::state::next;
use tidings_model::{CredentialFate, CredentialId, Event, MessageId, Refused, RunId, State, Timestamp};

use super::rows::{ROWS_MAX, RowsStatement, fetch_json};
use super::tally::{Moves, Tally};
use super::{LOOK_NOW, Writer};
use crate::batch::{
    Accepted, AppHalt, Batch, ChannelId, Committed, CredentialIntake, Fired, Firing, LaneRow, NewCredential,
    NewMessage, Operated, Operation, RunProgress, Settle, TokenRow,
};
use crate::error::StoreError;

/// What an operator may do to a message.
const ACTS: [Event; 5] = [Event::Cancel, Event::Retry, Event::RetryLater, Event::Hold, Event::Release];

impl Writer {
    /// Commits everything in the batch, or nothing.
    ///
    /// When this returns `Ok`, what it says is on disk. When it returns an error nothing of the batch is, unless the
    /// error came from the commit itself: then nobody can say, and the caller must not answer yes.
    ///
    /// # Panics
    ///
    /// On an [`Operation`] that is no act of an operator.
    pub async fn commit(&mut self, batch: &Batch) -> Result<Committed, StoreError> {
        self.resolve_doubt().await?;
        let mut done = self.transact(batch, Fence::Counts).await;
        if matches!(done, Err(StoreError::Late)) {
            // Rare, and nothing is written yet: the same again, looking first.
            done = self.transact(batch, Fence::Looks).await;
        }
        self.in_doubt = done.is_err();
        done
    }

    async fn transact(&mut self, batch: &Batch, fence: Fence) -> Result<Committed, StoreError> {
        let now = batch.now;
        let mut committed = Committed::default();
        let mut transaction =
            self.connection.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::during("begin"))?;
        let waiting = self.tally.waiting();
        let mut step = Step { connection: &mut transaction, moves: Moves::default(), now, fence, waiting };

        committed.settled = step.settle(&batch.settles).await?;
        committed.operated = step.operate(&batch.operations).await?;
        let last_message = self.last_message;
        committed.accepted = step.accept(&batch.messages, last_message).await?;
        committed.credentials = step.take_credentials(&batch.credentials, self.last_credential).await?;
        step.save_tokens(&batch.tokens).await?;
        step.save_lanes(&batch.lanes).await?;
        step.save_apps(&batch.apps).await?;
        for firing in &batch.firings {
            committed.fired.push(step.fire(firing).await?);
        }
        for progress in &batch.runs {
            step.save_run(progress).await?;
        }
        if batch.wake_all {
            step.wake_all().await?;
        }
        let mut quiet_until = earliest(self.quiet_until, quiet_until(batch));
        if let Some(by) = batch.set_back {
            step.set_back(by).await?;
            quiet_until = LOOK_NOW;
        }
        let is_quiet = batch.spare || quiet_until.is_none_or(|at| at > now);
        if !is_quiet {
            committed.more |= step.promote().await?;
            committed.more |= step.expire().await?;
        }
        for sweep in &batch.sweeps {
            committed.swept.push(step.sweep(sweep).await?);
        }
        for request in &batch.claims {
            step.claim(&self.tally, request, &mut committed).await?;
        }
        committed.next_due = if is_quiet { quiet_until } else { step.next_due().await? };
        let moves = step.save_tally().await?;

        transaction.commit().await.map_err(StoreError::during("commit"))?;
        self.tally.apply(moves);
        self.quiet_until = committed.next_due;
        self.last_message += length(batch.messages.len());
        self.last_credential += length(batch.credentials.len());
        let rows = batch.settles.len() + batch.messages.len() + batch.credentials.len() + committed.claimed.len();
        // The transaction is on disk whatever comes of this; what is wrong with the disk, the next one will meet.
        if let Err(error) = self.log.committed(&mut self.connection, rows).await {
            tracing::warn!("{error}");
        }
        Ok(committed)
    }
}

/// How the outcomes pass the fence. Either way it is the statement's own condition that holds a late one back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fence {
    /// All are written, and counted: if one of them was held back, the transaction begins again with [`Fence::Looks`].
    Counts,
    /// Those that are late are sorted out before.
    Looks,
}

/// One transaction under way.
pub(super) struct Step<'a> {
    pub(super) connection: &'a mut SqliteConnection,
    pub(super) moves: Moves,
    pub(super) now: Timestamp,
    fence: Fence,
    /// Messages that waited for a credential when the transaction began. Where nobody waits, nobody is woken.
    waiting: i64,
}

type StepQuery<'q> = Query<'q, Sqlite, SqliteArguments>;

static SETTLE: LazyLock<RowsStatement> =
    LazyLock::new(|| RowsStatement::new(include_str!("../../sql/sqlite/settle.sql")));
static SETTLE_CREDENTIALS: LazyLock<RowsStatement> =
    LazyLock::new(|| RowsStatement::new(include_str!("../../sql/sqlite/settle_credentials.sql")));
static INSERT_ATTEMPTS: LazyLock<RowsStatement> =
    LazyLock::new(|| RowsStatement::new(include_str!("../../sql/sqlite/insert_attempts.sql")));
static INSERT_MESSAGES: LazyLock<RowsStatement> =
    LazyLock::new(|| RowsStatement::new(include_str!("../../sql/sqlite/insert_messages.sql")));
static INSERT_BODIES: LazyLock<RowsStatement> =
    LazyLock::new(|| RowsStatement::new(include_str!("../../sql/sqlite/insert_bodies.sql")));
static INSERT_KEYS: LazyLock<RowsStatement> =
    LazyLock::new(|| RowsStatement::new(include_str!("../../sql/sqlite/insert_keys.sql")));
static INSERT_CREDENTIALS: LazyLock<RowsStatement> =
    LazyLock::new(|| RowsStatement::new(include_str!("../../sql/sqlite/insert_credentials.sql")));
static SAVE_TALLY: LazyLock<RowsStatement> =
    LazyLock::new(|| RowsStatement::new(include_str!("../../sql/sqlite/save_tally.sql")));

/// A list as the JSON array a statement walks.
pub(super) fn json(rows: &impl serde::Serialize) -> String {
    serde_json::to_string(rows).expect("rows of numbers and strings are always JSON")
}

pub(super) fn length(count: usize) -> i64 {
    i64::try_from(count).expect("a batch is bounded")
}

/// Before which instant nothing of this batch becomes due or runs out of time. What came back from an attempt, or was
/// moved by an operator, may bring an end of its own that the batch does not name: then it is time to look.
fn quiet_until(batch: &Batch) -> Option<Timestamp> {
    if !batch.operations.is_empty() || batch.settles.iter().any(|settle| !settle.settlement.to.is_terminal()) {
        return LOOK_NOW;
    }
    let ahead = |message: &NewMessage| earliest(message.send_at, message.expires_at);
    batch.messages.iter().map(ahead).fold(None, earliest)
}

fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn finished(state: State, now: Timestamp) -> Option<i64> {
    state.is_terminal().then_some(now.0)
}

impl Step<'_> {
    async fn settle(&mut self, settles: &[Settle]) -> Result<Vec<bool>, StoreError> {
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
    async fn settle_messages(&mut self, settles: &[Settle]) -> Result<Vec<bool>, StoreError> {
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
    async fn under_way(&mut self, settles: &[Settle]) -> Result<HashSet<(i64, i64)>, StoreError> {
        let attempts: Vec<(i64, i64)> = settles.iter().map(attempt).collect();
        let query = sqlx::query(include_str!("../../sql/sqlite/settle_look.sql")).bind(json(&attempts));
        let found: Vec<(i64, i64)> = fetch_json(query, self.connection, "look for the attempts that ended").await?;
        Ok(found.into_iter().collect())
    }

    async fn settle_credentials(&mut self, settles: &[&Settle]) -> Result<(), StoreError> {
        let during = || StoreError::during("write what became of credentials");
        let dropped: Vec<(i64, i64)> = settles
            .iter()
            .filter(|settle| settle.settlement.credential == CredentialFate::DropAll)
            .map(|settle| (settle.message.0, settle.started_at.0))
            .collect();
        if !dropped.is_empty() {
            self.execute(include_str!("../../sql/sqlite/drop_sisters.sql"), &json(&dropped)).await.map_err(during())?;
        }
        let fates: Vec<(i64, u8)> = settles
            .iter()
            .filter_map(|settle| Some((settle.message.0, fate_code(settle.settlement.credential)?)))
            .collect();
        let mut left: Vec<String> = Vec::new();
        if self.waiting > 0 && !fates.is_empty() {
            let query = sqlx::query(include_str!("../../sql/sqlite/recipients_left.sql")).bind(json(&fates));
            left = fetch_json(query, self.connection, "look who may go on with what is left").await?;
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

    async fn insert_attempts(&mut self, settles: &[&Settle]) -> Result<(), StoreError> {
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

    async fn operate(&mut self, operations: &[Operation]) -> Result<Vec<Operated>, StoreError> {
        let mut answers = Vec::with_capacity(operations.len());
        // One event and note at a time: operators act on lists of messages in one way.
        for group in operations.chunk_by(|a, b| a.event == b.event && a.note == b.note) {
            let during = || StoreError::during("carry out an operator's act");
            let ids: Vec<i64> = group.iter().map(|operation| operation.message.0).collect();
            let mut stand: HashMap<i64, (ChannelId, State)> =
                sqlx::query(include_str!("../../sql/sqlite/states_before.sql"))
                    .bind(json(&ids))
                    .fetch_all(&mut *self.connection)
                    .await
                    .map_err(during())?
                    .iter()
                    .filter_map(|row| Some((row.get(0), (ChannelId(row.get(1)), State::from_code(row.get(2))?))))
                    .collect();
            let event = group[0].event;
            assert!(ACTS.contains(&event), "`{}` is no act of an operator", event.as_str());
            let mut rows = Vec::new();
            for operation in group {
                let id = &operation.message.0;
                let Some((channel, from)) = stand.get_mut(id) else {
                    answers.push(Operated::NoSuchMessage);
                    continue;
                };
                if operation.from.is_some_and(|only| only != *from) {
                    answers.push(Operated::Refused(Refused { state: *from, event }));
                    continue;
                }
                answers.push(match next(*from, event) {
                    Ok(to) => {
                        rows.push((*id, from.code(), to.code(), operation.due_at.map(|at| at.0)));
                        self.moves.go(*channel, *from, to);
                        // No event follows itself, so one list has a message once at most.
                        *from = to;
                        Operated::Moved(to)
                    }
                    Err(refused) => Operated::Refused(refused),
                });
            }
            if rows.is_empty() {
                continue;
            }
            let reason = match event {
                Event::Cancel => Some("cancelled"),
                Event::Hold => Some("held"),
                _ => None,
            };
            sqlx::query(include_str!("../../sql/sqlite/operate.sql"))
                .bind(json(&rows))
                .bind(self.now.0)
                .bind(reason)
                .bind(&group[0].note)
                .execute(&mut *self.connection)
                .await
                .map_err(during())?;
            if event == Event::Cancel {
                let cancelled: Vec<i64> = rows.iter().map(|row| row.0).collect();
                self.spend_abandoned(&cancelled).await?;
            }
        }
        Ok(answers)
    }

    async fn accept(&mut self, messages: &[NewMessage], last_message: i64) -> Result<Vec<Accepted>, StoreError> {
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
        for (id, message) in (last_message + 1..).zip(messages) {
            if let Some(key) = &message.key {
                if let Some((first, hash)) = taken.get(key.as_str()) {
                    let same = *hash == message.body_hash;
                    answers.push(if same {
                        Accepted::Repeat(MessageId(*first))
                    } else {
                        Accepted::KeyTaken(MessageId(*first))
                    });
                    continue;
                }
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

    async fn insert_messages(&mut self, rows: &[(i64, &NewMessage)]) -> Result<(), sqlx::Error> {
        let mut query = INSERT_MESSAGES.query(rows.len());
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
        self.run(query).await?;
        let mut query = INSERT_BODIES.query(rows.len());
        for (id, message) in rows {
            query = query.bind(*id).bind(&message.data);
        }
        self.run(query).await?;
        let keyed: Vec<(&str, i64, i64)> = rows
            .iter()
            .filter_map(|(id, message)| Some((message.key.as_ref()?.as_str(), *id, message.body_hash)))
            .collect();
        if !keyed.is_empty() {
            let mut query = INSERT_KEYS.query(keyed.len());
            for (key, id, hash) in keyed {
                query = query.bind(key).bind(id).bind(hash).bind(self.now.after(IDEMPOTENCY_LIFE).0);
            }
            self.run(query).await?;
        }
        Ok(())
    }

    async fn take_credentials(
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
                    .bind(self.now.0);
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

    /// A message that ends outside an attempt takes the use of its kept credential with it.
    async fn spend_abandoned(&mut self, messages: &[i64]) -> Result<(), StoreError> {
        let spent = sqlx::query(include_str!("../../sql/sqlite/spend_abandoned.sql"))
            .bind(json(&messages))
            .fetch_all(&mut *self.connection)
            .await
            .map_err(StoreError::during("spend kept credentials"))?;
        self.wake_for(&spent).await
    }

    /// Wakes who waits for what is left of these credentials: recipient and uses left.
    async fn wake_for(&mut self, credentials: &[SqliteRow]) -> Result<(), StoreError> {
        let left = credentials.iter().filter(|row| row.get::<i64, _>(1) > 0);
        let recipients: Vec<String> = left.map(|row| row.get(0)).collect();
        self.wake(&recipients).await
    }

    async fn wake(&mut self, recipients: &[String]) -> Result<(), StoreError> {
        if recipients.is_empty() || self.waiting == 0 {
            return Ok(());
        }
        let woken = sqlx::query(include_str!("../../sql/sqlite/wake_waiting.sql"))
            .bind(json(&recipients))
            .fetch_all(&mut *self.connection)
            .await
            .map_err(StoreError::during("wake who waits"))?;
        for row in woken {
            self.moves.go(ChannelId(row.get(0)), State::Waiting, State::Queued);
        }
        Ok(())
    }

    async fn wake_all(&mut self) -> Result<(), StoreError> {
        let woken = sqlx::query(include_str!("../../sql/sqlite/wake_all.sql"))
            .fetch_all(&mut *self.connection)
            .await
            .map_err(StoreError::during("wake who waits"))?;
        for row in woken {
            self.moves.go(ChannelId(row.get(0)), State::Waiting, State::Queued);
        }
        Ok(())
    }

    async fn save_tokens(&mut self, tokens: &[TokenRow]) -> Result<(), StoreError> {
        for token in tokens {
            sqlx::query("INSERT OR REPLACE INTO token (app, value, generation, fetched_at, expires_at, day, fetches, account) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")
                .bind(token.app.as_str())
                .bind(&token.value)
                .bind(token.generation)
                .bind(token.fetched_at.map(|at| at.0))
                .bind(token.expires_at.map(|at| at.0))
                .bind(token.day)
                .bind(token.fetches)
                .bind(&token.account)
                .execute(&mut *self.connection)
                .await
                .map_err(StoreError::during("write a token"))?;
        }
        Ok(())
    }

    async fn save_lanes(&mut self, lanes: &[LaneRow]) -> Result<(), StoreError> {
        for lane in lanes {
            let (paused_at, note) = apart(lane.state.paused.as_ref());
            let (until, reason) = apart(lane.state.closed.as_ref());
            sqlx::query("UPDATE channel SET paused_at = ?2, pause_note = ?3, closed_until = ?4, closed_reason = ?5 WHERE id = ?1")
                .bind(lane.channel.0)
                .bind(paused_at)
                .bind(note)
                .bind(until)
                .bind(reason)
                .execute(&mut *self.connection)
                .await
                .map_err(StoreError::during("write a channel's state"))?;
        }
        Ok(())
    }

    async fn save_apps(&mut self, apps: &[AppHalt]) -> Result<(), StoreError> {
        for app in apps {
            let (halted_at, reason) = apart(app.halted.as_ref());
            sqlx::query(
                "INSERT OR REPLACE INTO app (name, fingerprint, halted_at, halt_reason) VALUES (?1, ?2, ?3, ?4)",
            )
            .bind(app.app.as_str())
            .bind(&app.fingerprint)
            .bind(halted_at)
            .bind(reason)
            .execute(&mut *self.connection)
            .await
            .map_err(StoreError::during("write an app's state"))?;
        }
        Ok(())
    }

    async fn fire(&mut self, firing: &Firing) -> Result<Fired, StoreError> {
        let during = || StoreError::during("fire a schedule");
        let mut fired = Fired::Nothing;
        let name = firing.schedule.as_str();
        if let Some((nominal, job)) = &firing.run {
            let before: Option<i64> =
                sqlx::query_scalar("SELECT 1 FROM firing WHERE schedule = ?1 AND nominal_at = ?2")
                    .bind(name)
                    .bind(nominal.0)
                    .fetch_optional(&mut *self.connection)
                    .await
                    .map_err(during())?;
            if before.is_some() {
                fired = Fired::Before;
            } else {
                // A time that has a run and no verdict was fired too: its key refuses the second.
                let sql = "INSERT INTO run (schedule, nominal_at, job, state, started_at) VALUES (?1, ?2, ?3, 0, ?4)
                           ON CONFLICT (schedule, nominal_at) DO NOTHING RETURNING id";
                let id: Option<i64> = sqlx::query_scalar(sql)
                    .bind(name)
                    .bind(nominal.0)
                    .bind(job)
                    .bind(self.now.0)
                    .fetch_optional(&mut *self.connection)
                    .await
                    .map_err(during())?;
                fired = id.map_or(Fired::Before, |id| Fired::Run(RunId(id)));
            }
        }
        for (nominal, verdict) in &firing.verdicts {
            let run = match (fired, &firing.run) {
                (Fired::Run(id), Some((at, _))) if at == nominal => Some(id.0),
                _ => None,
            };
            sqlx::query("INSERT OR IGNORE INTO firing (schedule, nominal_at, verdict, decided_at, run_id) VALUES (?1, ?2, ?3, ?4, ?5)")
                .bind(name)
                .bind(nominal.0)
                .bind(verdict.as_str())
                .bind(self.now.0)
                .bind(run)
                .execute(&mut *self.connection)
                .await
                .map_err(during())?;
        }
        let (paused_at, note) = apart(firing.paused.as_ref());
        // The cursor never moves back, whatever the clock does.
        sqlx::query(
            "INSERT INTO schedule (name, definition, cursor_at, next_at, paused_at, pause_note) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (name) DO UPDATE SET definition = excluded.definition, cursor_at = max(cursor_at, excluded.cursor_at),
                 next_at = excluded.next_at, paused_at = excluded.paused_at, pause_note = excluded.pause_note",
        )
        .bind(name)
        .bind(&firing.definition)
        .bind(firing.cursor_at.0)
        .bind(firing.next_at.map(|at| at.0))
        .bind(paused_at)
        .bind(note)
        .execute(&mut *self.connection)
        .await
        .map_err(during())?;
        Ok(fired)
    }

    async fn save_run(&mut self, progress: &RunProgress) -> Result<(), StoreError> {
        let (state, result) = match &progress.ended {
            None => (0, None),
            Some(Ok(result)) => (1, Some(result)),
            Some(Err(result)) => (2, Some(result)),
        };
        sqlx::query(
            "UPDATE run SET done = ?2, total = ?3, state = ?4, ended_at = ?5, result = ?6 WHERE id = ?1 AND state = 0",
        )
        .bind(progress.run.0)
        .bind(i64::try_from(progress.done).unwrap_or(i64::MAX))
        .bind(progress.total.map(|total| i64::try_from(total).unwrap_or(i64::MAX)))
        .bind(state)
        .bind((state > 0).then_some(self.now.0))
        .bind(result)
        .execute(&mut *self.connection)
        .await
        .map_err(StoreError::during("write a run"))?;
        Ok(())
    }

    async fn set_back(&mut self, by: Duration) -> Result<(), StoreError> {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        let query = sqlx::query(include_str!("../../sql/sqlite/set_back.sql")).bind(by).bind(self.now.0);
        self.run(query).await.map(drop).map_err(StoreError::during("set delays back with the clock"))
    }

    async fn promote(&mut self) -> Result<bool, StoreError> {
        let query = sqlx::query(include_str!("../../sql/sqlite/due.sql"));
        let query = query.bind(self.now.0).bind(length(TICK_PROMOTIONS_MAX));
        let due: Vec<(i64, i64)> = fetch_json(query, self.connection, "look for what is due").await?;
        let count: i64 = due.iter().map(|row| row.1).sum();
        if count == 0 {
            return Ok(false);
        }
        let query = sqlx::query(include_str!("../../sql/sqlite/promote.sql"));
        let query = query.bind(self.now.0).bind(length(TICK_PROMOTIONS_MAX));
        self.run(query).await.map_err(StoreError::during("make messages due"))?;
        for (channel, messages) in due {
            self.moves.go_many(ChannelId(channel), State::Scheduled, State::Queued, messages);
        }
        Ok(count == length(TICK_PROMOTIONS_MAX))
    }

    async fn expire(&mut self) -> Result<bool, StoreError> {
        let during = || StoreError::during("expire messages");
        // The states before are needed for the counts, and a statement returns only what it wrote.
        let late = sqlx::query(include_str!("../../sql/sqlite/late.sql"))
            .bind(self.now.0)
            .bind(length(TICK_PROMOTIONS_MAX))
            .fetch_all(&mut *self.connection)
            .await
            .map_err(during())?;
        if late.is_empty() {
            return Ok(false);
        }
        let mut ids = Vec::with_capacity(late.len());
        for row in &late {
            let from = State::from_code(row.get(2)).expect("the statement asks for four states");
            self.moves.go(ChannelId(row.get(1)), from, State::Expired);
            ids.push(row.get::<i64, _>(0));
        }
        sqlx::query(include_str!("../../sql/sqlite/expire.sql"))
            .bind(json(&ids))
            .bind(self.now.0)
            .execute(&mut *self.connection)
            .await
            .map_err(during())?;
        self.spend_abandoned(&ids).await?;
        Ok(late.len() == TICK_PROMOTIONS_MAX)
    }

    async fn next_due(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let next: Option<i64> = sqlx::query_scalar(include_str!("../../sql/sqlite/next_due.sql"))
            .fetch_one(&mut *self.connection)
            .await
            .map_err(StoreError::during("look ahead"))?;
        Ok(next.map(Timestamp))
    }

    async fn save_tally(mut self) -> Result<Moves, StoreError> {
        for rows in self.moves.rows().chunks(ROWS_MAX) {
            let mut query = SAVE_TALLY.query(rows.len());
            for (channel, state, change) in rows {
                query = query.bind(*channel).bind(*state).bind(*change);
            }
            self.run(query).await.map_err(StoreError::during("write the counts"))?;
        }
        Ok(self.moves)
    }

    /// Runs a statement that answers with no rows, and says how many it wrote.
    pub(super) async fn run(&mut self, query: Query<'_, Sqlite, SqliteArguments>) -> Result<u64, sqlx::Error> {
        Ok(query.execute(&mut *self.connection).await?.rows_affected())
    }

    /// A statement whose one argument is a JSON array.
    pub(super) async fn execute(&mut self, sql: &'static str, rows: &str) -> Result<(), sqlx::Error> {
        sqlx::query(sql).bind(rows).execute(&mut *self.connection).await.map(drop)
    }

    pub(super) fn queued(&self, tally: &Tally, channel: ChannelId) -> i64 {
        self.moves.count(tally, channel, State::Queued)
    }
}

/// Binds a settlement in the order of `settle.sql`.
fn settle_row<'q>(query: StepQuery<'q>, settle: &Settle, now: Timestamp) -> StepQuery<'q> {
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

fn apart(state: Option<&(Timestamp, String)>) -> (Option<i64>, Option<&str>) {
    (state.map(|(at, _)| at.0), state.map(|(_, text)| text.as_str()))
}
