//! One transaction of the writer: the steps, in their order.
//!
//! Outcomes first, so that what they free can be claimed at once; claims last, so that they see everything. Each step
//! is one statement over a JSON array, or a few: never a statement per row on the hot path.

use std::collections::{HashMap, HashSet};

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Connection as _, Row as _};
use tidings_model::limits::{CREDENTIAL_MEMORY, IDEMPOTENCY_LIFE, PURGE_SLICE_MAX, TICK_PROMOTIONS_MAX};
use tidings_model::state::next;
use tidings_model::{CredentialFate, CredentialId, Event, MessageId, Refused, RunId, State, Timestamp};

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
    pub async fn commit(&mut self, batch: Batch) -> Result<Committed, StoreError> {
        let now = batch.now;
        let mut committed = Committed::default();
        self.resolve_doubt().await?;
        let mut transaction =
            self.connection.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::during("begin"))?;
        let mut step = Step { connection: &mut transaction, moves: Moves::default(), now };

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
        let quiet_until = earliest(self.quiet_until, quiet_until(&batch));
        let is_quiet = quiet_until.is_none_or(|at| at > now);
        if !is_quiet {
            committed.more |= step.promote().await?;
            committed.more |= step.expire().await?;
        }
        if batch.purge_credentials {
            committed.purged = step.purge_credentials().await?;
        }
        for request in &batch.claims {
            step.claim(&self.tally, request, &mut committed).await?;
        }
        committed.next_due = if is_quiet { quiet_until } else { step.next_due().await? };
        let moves = step.save_tally().await?;

        if let Err(error) = transaction.commit().await {
            self.in_doubt = true;
            return Err(StoreError::during("commit")(error));
        }
        self.tally.apply(moves);
        self.quiet_until = committed.next_due;
        self.last_message += length(batch.messages.len());
        self.last_credential += length(batch.credentials.len());
        Ok(committed)
    }
}

/// One transaction under way.
pub(super) struct Step<'a> {
    pub(super) connection: &'a mut SqliteConnection,
    pub(super) moves: Moves,
    pub(super) now: Timestamp,
}

/// A list as the JSON array a statement walks.
pub(super) fn json(rows: &impl serde::Serialize) -> String {
    serde_json::to_string(rows).expect("rows of numbers and strings are always JSON")
}

fn length(count: usize) -> i64 {
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
        let attempt = |settle: &Settle| (settle.message.0, settle.generation);
        let mut seen = HashSet::with_capacity(settles.len());
        let mut applied: Vec<bool> = settles.iter().map(|settle| seen.insert(attempt(settle))).collect();
        let first = settles.iter().zip(&applied).filter(|pair| *pair.1).map(|pair| pair.0);
        let rows: Vec<_> = first.map(|settle| settle_row(settle, self.now)).collect();
        let moved: Vec<SqliteRow> = sqlx::query(include_str!("../../sql/sqlite/settle.sql"))
            .bind(json(&rows))
            .fetch_all(&mut *self.connection)
            .await
            .map_err(StoreError::during("write outcomes"))?;
        let mut written = HashSet::with_capacity(moved.len());
        for row in &moved {
            let to = State::from_code(row.get(3)).expect("settle.sql writes only states");
            self.moves.go(ChannelId(row.get(2)), State::Sending, to);
            written.insert((row.get(0), row.get(1)));
        }
        for (applied, settle) in applied.iter_mut().zip(settles) {
            *applied = *applied && written.contains(&attempt(settle));
        }
        Ok(applied)
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
        let fates: Vec<_> =
            settles.iter().map(|settle| (settle.message.0, fate_code(settle.settlement.credential))).collect();
        let settled = sqlx::query(include_str!("../../sql/sqlite/settle_credentials.sql"))
            .bind(json(&fates))
            .fetch_all(&mut *self.connection)
            .await
            .map_err(during())?;
        self.wake_for(&settled).await
    }

    async fn insert_attempts(&mut self, settles: &[&Settle]) -> Result<(), StoreError> {
        let attempts: Vec<_> = settles
            .iter()
            .filter(|settle| settle.outcome != "accepted" || settle.generation > 1)
            .map(|settle| {
                let detail = settle.settlement.detail.as_str();
                let (started, ended) = (settle.started_at.0, settle.ended_at.0);
                (settle.message.0, settle.generation, started, ended, settle.outcome, detail)
            })
            .collect();
        if attempts.is_empty() {
            return Ok(());
        }
        self.execute(include_str!("../../sql/sqlite/insert_attempts.sql"), &json(&attempts))
            .await
            .map_err(StoreError::during("write attempts"))
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
            let rows = sqlx::query(include_str!("../../sql/sqlite/find_keys.sql"))
                .bind(json(&keys))
                .bind(self.now.0)
                .fetch_all(&mut *self.connection)
                .await
                .map_err(during())?;
            taken = rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect();
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
            let due_at = message.send_at.unwrap_or(self.now).max(self.now);
            let state = if due_at > self.now { State::Scheduled } else { State::Queued };
            self.moves.enter(message.channel, state);
            rows.push((
                (id, message.channel.0, message.template.0, message.recipient.as_str(), state.code(), message.priority),
                (due_at.0, message.expires_at.map(|at| at.0), message.run.map(|run| run.0), message.data.as_str()),
                (message.key.as_ref().map(|key| key.as_str()), message.body_hash, self.now.after(IDEMPOTENCY_LIFE).0),
            ));
            answers.push(Accepted::New(MessageId(id)));
        }
        if rows.is_empty() {
            return Ok(answers);
        }
        let keyed = rows.iter().any(|row| row.2.0.is_some());
        let rows = json(&rows.into_iter().map(flat).collect::<Vec<_>>());
        sqlx::query(include_str!("../../sql/sqlite/insert_messages.sql"))
            .bind(&rows)
            .bind(self.now.0)
            .execute(&mut *self.connection)
            .await
            .map_err(during())?;
        self.execute(include_str!("../../sql/sqlite/insert_bodies.sql"), &rows).await.map_err(during())?;
        if keyed {
            self.execute(include_str!("../../sql/sqlite/insert_keys.sql"), &rows).await.map_err(during())?;
        }
        Ok(answers)
    }

    async fn take_credentials(
        &mut self,
        credentials: &[NewCredential],
        last_credential: i64,
    ) -> Result<Vec<CredentialIntake>, StoreError> {
        if credentials.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<_> = (last_credential + 1..)
            .zip(credentials)
            .map(|(id, new)| {
                let who = (id, new.app.as_str(), new.source.as_str(), new.recipient.as_str());
                let expires_at = new.expires_at.map(|at| at.0);
                (who.0, who.1, who.2, who.3, &new.scope, &new.value, &new.identity, new.uses, expires_at)
            })
            .collect();
        let inserted: HashMap<i64, ()> = sqlx::query(include_str!("../../sql/sqlite/insert_credentials.sql"))
            .bind(json(&rows))
            .bind(self.now.0)
            .fetch_all(&mut *self.connection)
            .await
            .map_err(StoreError::during("take credentials in"))?
            .iter()
            .map(|row| (row.get(0), ()))
            .collect();
        let (mut answers, mut recipients) = (Vec::with_capacity(credentials.len()), Vec::new());
        for (id, new) in (last_credential + 1..).zip(credentials) {
            if inserted.contains_key(&id) {
                recipients.push(new.recipient.as_str());
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
        let recipients: Vec<&str> = left.map(|row| row.get(0)).collect();
        self.wake(&recipients).await
    }

    async fn wake(&mut self, recipients: &[&str]) -> Result<(), StoreError> {
        if recipients.is_empty() {
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

    async fn promote(&mut self) -> Result<bool, StoreError> {
        let due = sqlx::query(include_str!("../../sql/sqlite/promote.sql"))
            .bind(self.now.0)
            .bind(length(TICK_PROMOTIONS_MAX))
            .fetch_all(&mut *self.connection)
            .await
            .map_err(StoreError::during("make messages due"))?;
        for row in &due {
            self.moves.go(ChannelId(row.get(0)), State::Scheduled, State::Queued);
        }
        Ok(due.len() == TICK_PROMOTIONS_MAX)
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

    async fn purge_credentials(&mut self) -> Result<(u32, u32), StoreError> {
        let gone = sqlx::query(include_str!("../../sql/sqlite/purge_credentials.sql"))
            .bind(self.now.0)
            .bind(self.now.before(CREDENTIAL_MEMORY).0)
            .bind(PURGE_SLICE_MAX)
            .fetch_all(&mut *self.connection)
            .await
            .map_err(StoreError::during("remove stale credentials"))?;
        let unused = gone.iter().filter(|row| row.get::<i64, _>(0) != 0).count();
        let count = |n: usize| u32::try_from(n).expect("a slice is bounded");
        Ok((count(unused), count(gone.len() - unused)))
    }

    async fn next_due(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let next: Option<i64> = sqlx::query_scalar(include_str!("../../sql/sqlite/next_due.sql"))
            .fetch_one(&mut *self.connection)
            .await
            .map_err(StoreError::during("look ahead"))?;
        Ok(next.map(Timestamp))
    }

    async fn save_tally(self) -> Result<Moves, StoreError> {
        let rows = self.moves.rows();
        if !rows.is_empty() {
            sqlx::query(include_str!("../../sql/sqlite/save_tally.sql"))
                .bind(json(&rows))
                .execute(&mut *self.connection)
                .await
                .map_err(StoreError::during("write the counts"))?;
        }
        Ok(self.moves)
    }

    /// A statement whose one argument is a JSON array.
    pub(super) async fn execute(&mut self, sql: &'static str, rows: &str) -> Result<(), sqlx::Error> {
        sqlx::query(sql).bind(rows).execute(&mut *self.connection).await.map(drop)
    }

    pub(super) fn queued(&self, tally: &Tally, channel: ChannelId) -> i64 {
        self.moves.count(tally, channel, State::Queued)
    }
}

type MessageColumns<'a> =
    ((i64, i64, i64, &'a str, i64, i8), (i64, Option<i64>, Option<i64>, &'a str), (Option<&'a str>, i64, i64));

/// The columns in the order of `insert_messages.sql`.
fn flat(row: MessageColumns<'_>) -> impl serde::Serialize {
    let ((id, channel, template, recipient, state, priority), (due, expires, run, data), (key, hash, key_end)) = row;
    (id, channel, template, recipient, state, priority, due, expires, run, data, key, hash, key_end)
}

fn settle_row(settle: &Settle, now: Timestamp) -> impl serde::Serialize {
    let settlement = &settle.settlement;
    (
        settle.message.0,
        settle.generation,
        settlement.to.code(),
        settlement.due_at.map(|at| at.0),
        i32::from(settlement.counts),
        i32::from(settlement.ambiguous),
        i32::from(settle.rescued),
        finished(settlement.to, now),
        settlement.reason,
        (!settlement.detail.is_empty()).then(|| settlement.detail.clone()),
        settlement.provider_id.clone(),
    )
}

fn fate_code(fate: CredentialFate) -> u8 {
    match fate {
        CredentialFate::Keep => 0,
        CredentialFate::GiveBack => 1,
        CredentialFate::Spend => 2,
        CredentialFate::Drop | CredentialFate::DropAll => 3,
    }
}

fn apart(state: Option<&(Timestamp, String)>) -> (Option<i64>, Option<&str>) {
    (state.map(|(at, _)| at.0), state.map(|(_, text)| text.as_str()))
}
