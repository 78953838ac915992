//! The writer task: gathers what happened, commits it in one transaction, answers, and sends on their way the messages
//! it claimed.
//!
//! There is no timer: while one transaction is being synced, the next gathers by itself. An outcome is never dropped:
//! if the store does not take it, it is tried again with the next transaction until it does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tidings_model::limits::{TICK_CHANGES_MAX, WRITER_QUEUE_MAX};
use tidings_model::retry::{Backoff, delay};
use tidings_model::{Clock, Event, State, Timestamp};
use tidings_store::{
    Accepted, AppHalt, Batch, ChannelId, Committed, CredentialIntake, Fired, Firing, LaneRow, NewCredential,
    NewMessage, Operated, Operation, RunProgress, Settle, StoreError, TokenRow, Writer,
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::random;
use crate::config::Config;
use crate::lanes::{Applied, Change, Lanes};
use crate::pipeline::Pipeline;
use crate::refusal::Refusal;

/// How long a caller waits for a place in the writer's queue before it is told that the engine is busy.
const QUEUE_WAIT: Duration = Duration::from_secs(5);
/// The longest sleep: a wall clock that was set is noticed within it.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// Between transactions that failed.
const FAILURE_BACKOFF: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(5) };

/// Tries to write the last outcomes after a stop, if the store does not take them. The next start settles the rest.
const LAST_TRIES_MAX: u32 = 10;

/// Where the answer goes.
type Reply<T> = oneshot::Sender<Result<T, Arc<StoreError>>>;

/// A channel and since when and why it is paused; `None` to go on.
type Pause = (ChannelId, Option<(Timestamp, String)>);

/// Something for the next transaction.
enum Work {
    Settle(Box<Finished>),
    Operate(Vec<Operation>, Reply<Vec<Operated>>),
    Accept(Vec<NewMessage>, Reply<Vec<Accepted>>),
    Credentials(Vec<NewCredential>, Reply<Vec<CredentialIntake>>),
    Token(TokenRow, Reply<()>),
    Pause(ChannelId, Option<(Timestamp, String)>, Reply<()>),
    Lift(AppHalt, Reply<()>),
    Fire(Box<Firing>, Reply<Fired>),
    Run(RunProgress, Reply<()>),
    Purge(Reply<(u32, u32)>),
}

/// An attempt that ended.
pub(crate) struct Finished {
    pub(crate) channel: ChannelId,
    pub(crate) recipient: String,
    pub(crate) settle: Settle,
}

/// Hands work to the writer. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct WriterHandle {
    sender: mpsc::Sender<Work>,
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Work")
    }
}

impl WriterHandle {
    pub(crate) fn new() -> (WriterHandle, Inbox) {
        let (sender, receiver) = mpsc::channel(WRITER_QUEUE_MAX);
        (WriterHandle { sender }, Inbox { receiver })
    }

    /// Hands an outcome over. It waits for a place as long as it takes: an outcome is worth more than the wait.
    pub(crate) async fn settle(&self, finished: Finished) {
        if self.sender.send(Work::Settle(Box::new(finished))).await.is_err() {
            tracing::warn!("an outcome came after the writer had stopped; the next start settles its message");
        }
    }

    pub(crate) async fn operate(&self, operations: Vec<Operation>) -> Result<Vec<Operated>, Refusal> {
        self.ask(|reply| Work::Operate(operations, reply)).await
    }

    /// Returns when everything that was handed over before is on disk.
    pub(crate) async fn barrier(&self) -> Result<(), Refusal> {
        self.operate(Vec::new()).await.map(drop)
    }

    pub(crate) async fn accept(&self, messages: Vec<NewMessage>) -> Result<Vec<Accepted>, Refusal> {
        self.ask(|reply| Work::Accept(messages, reply)).await
    }

    pub(crate) async fn credentials(&self, credentials: Vec<NewCredential>) -> Result<Vec<CredentialIntake>, Refusal> {
        self.ask(|reply| Work::Credentials(credentials, reply)).await
    }

    pub(crate) async fn save_token(&self, row: TokenRow) -> Result<(), Refusal> {
        self.ask(|reply| Work::Token(row, reply)).await
    }

    pub(crate) async fn pause(&self, channel: ChannelId, paused: Option<(Timestamp, String)>) -> Result<(), Refusal> {
        self.ask(|reply| Work::Pause(channel, paused, reply)).await
    }

    pub(crate) async fn lift_halt(&self, app: AppHalt) -> Result<(), Refusal> {
        self.ask(|reply| Work::Lift(app, reply)).await
    }

    pub(crate) async fn fire(&self, firing: Firing) -> Result<Fired, Refusal> {
        self.ask(|reply| Work::Fire(Box::new(firing), reply)).await
    }

    pub(crate) async fn run(&self, progress: RunProgress) -> Result<(), Refusal> {
        self.ask(|reply| Work::Run(progress, reply)).await
    }

    /// Removes a slice of stale credentials: how many unused ones, and how many others.
    pub(crate) async fn purge(&self) -> Result<(u32, u32), Refusal> {
        self.ask(Work::Purge).await
    }

    async fn ask<T>(&self, work: impl FnOnce(Reply<T>) -> Work) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        match self.sender.send_timeout(work(reply), QUEUE_WAIT).await {
            Ok(()) => {}
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => return Err(Refusal::busy()),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => return Err(Refusal::stopping()),
        }
        match answer.await {
            Ok(answer) => answer.map_err(Refusal::from),
            Err(_) => Err(Refusal::stopping()),
        }
    }
}

/// The writer's end of the queue.
#[derive(Debug)]
pub(crate) struct Inbox {
    receiver: mpsc::Receiver<Work>,
}

/// The channels at work, shared.
pub(crate) type SharedLanes = Arc<Mutex<Lanes>>;

/// A look at the channels. Never held across an await.
pub(crate) fn look(lanes: &SharedLanes) -> MutexGuard<'_, Lanes> {
    lanes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The task.
pub(crate) struct WriterTask {
    pub(crate) store: Writer,
    pub(crate) inbox: Inbox,
    pub(crate) lanes: SharedLanes,
    pub(crate) config: Arc<Config>,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Told after each commit how many messages are on their way.
    pub(crate) in_flight: watch::Sender<u32>,
    /// True when it is time to go: what is in the queue is still written, and nothing new is taken.
    pub(crate) stop: watch::Receiver<bool>,
}

/// What the task remembers from one transaction to the next.
#[derive(Default)]
struct Memory {
    /// Outcomes that the store has not taken yet.
    unsettled: Vec<Finished>,
    /// What changed of channels and apps, and is not on disk yet. It is in force already.
    unsaved_lanes: Vec<LaneRow>,
    unsaved_apps: Vec<AppHalt>,
    /// A bounded step stopped at its bound.
    more: bool,
    next_due: Option<Timestamp>,
    failures: u32,
    retry_at: Option<Timestamp>,
}

impl WriterTask {
    /// Runs until it is told to stop, writes what is still in the queue, and closes the store.
    pub(crate) async fn run(mut self) -> Result<(), StoreError> {
        let mut memory = Memory { more: true, ..Memory::default() };
        let (mut open, mut stopping) = (true, false);
        while open || (!memory.unsettled.is_empty() && memory.failures < LAST_TRIES_MAX) {
            let mut gathered = Gathered::default();
            // Whoever could say "stop" and is gone has said it.
            if (*self.stop.borrow() || self.stop.has_changed().is_err()) && !stopping {
                stopping = true;
                look(&self.lanes).draining = true;
                self.inbox.receiver.close();
            }
            if !self.is_work_due(&memory) {
                let sleep = self.sleep(&memory);
                let first = tokio::select! {
                    work = self.inbox.receiver.recv(), if open => Some(work),
                    () = tokio::time::sleep(sleep) => None,
                    _ = self.stop.changed(), if !stopping => None,
                };
                match first {
                    Some(Some(work)) => gathered.add(work),
                    Some(None) => open = false,
                    None => {}
                }
            }
            while gathered.size < TICK_CHANGES_MAX {
                match self.inbox.receiver.try_recv() {
                    Ok(work) => gathered.add(work),
                    Err(mpsc::error::TryRecvError::Empty) => break,
                    Err(mpsc::error::TryRecvError::Disconnected) => {
                        open = false;
                        break;
                    }
                }
            }
            if gathered.size > 0 || self.is_work_due(&memory) || self.is_retry_due(&memory) {
                self.tick(gathered, &mut memory).await;
            }
        }
        self.store.close().await
    }

    /// Whether there is something to do without anybody asking.
    fn is_work_due(&self, memory: &Memory) -> bool {
        let now = self.clock.now();
        if memory.retry_at.is_some_and(|at| now < at) {
            return false;
        }
        let due = memory.next_due.is_some_and(|at| at <= now);
        due || memory.more || !look(&self.lanes).claims(now, |channel| self.queued(channel)).is_empty()
    }

    fn is_retry_due(&self, memory: &Memory) -> bool {
        let now = self.clock.now();
        !memory.unsettled.is_empty() && memory.retry_at.is_none_or(|at| at <= now)
    }

    fn queued(&self, channel: ChannelId) -> i64 {
        self.store.count(channel, State::Queued)
    }

    fn sleep(&self, memory: &Memory) -> Duration {
        let now = self.clock.now();
        let opening = look(&self.lanes).next_opening(now, |channel| self.queued(channel));
        let wake = [memory.next_due, opening].into_iter().flatten().min();
        let wake = memory.retry_at.filter(|at| *at > now).or(wake);
        // Half a millisecond up, so that the wake does not come just before the instant.
        wake.map_or(SLEEP_MAX, |at| (at.since(now) + Duration::from_micros(500)).min(SLEEP_MAX))
    }

    async fn tick(&mut self, gathered: Gathered, memory: &mut Memory) {
        let now = self.clock.now();
        let Gathered { mut finished, mut batch, replies, halts, pauses, .. } = gathered;
        finished.splice(0..0, std::mem::take(&mut memory.unsettled));
        batch.now = now;
        batch.lanes.append(&mut memory.unsaved_lanes);
        batch.apps.append(&mut memory.unsaved_apps);
        batch.settles = finished.iter().map(|finished| finished.settle.clone()).collect();
        self.pass_lanes(&mut batch, &finished, pauses, halts);
        let echoes: Vec<(ChannelId, String, bool)> = batch
            .messages
            .iter()
            .map(|new| (new.channel, new.recipient.as_str().to_owned(), new.send_at.is_some_and(|at| at > now)))
            .collect();
        let (lanes, apps) = (batch.lanes.clone(), batch.apps.clone());
        let (outcomes, messages, begun) = (batch.settles.len(), batch.messages.len(), Instant::now());
        match self.store.commit(batch).await {
            Ok(committed) => {
                let (claimed, took) = (committed.claimed.len(), begun.elapsed());
                tracing::trace!(outcomes, messages, claimed, took_us = took.as_micros(), "committed");
                *memory = Memory { more: committed.more, next_due: committed.next_due, ..Memory::default() };
                self.settled(&finished, &committed, now);
                self.echo(&echoes, &committed, now);
                self.waiting(&committed, now);
                replies.answer(&committed);
                self.dispatch(committed);
            }
            Err(error) => {
                memory.failures += 1;
                memory.retry_at = Some(now.after(delay(FAILURE_BACKOFF, memory.failures, random())));
                memory.unsettled = finished;
                (memory.unsaved_lanes, memory.unsaved_apps) = (lanes, apps);
                look(&self.lanes).take_places(&memory.unsettled);
                let error = Arc::new(error);
                tracing::error!("{}", Refusal::store(&error));
                replies.refuse(&error);
            }
        }
    }

    /// Passes the batch by the channels: what operators and outcomes change of them, the places that become free, and
    /// which of them claim.
    fn pass_lanes(&self, batch: &mut Batch, finished: &[Finished], pauses: Vec<Pause>, halts: Vec<AppHalt>) {
        let now = batch.now;
        let mut lanes = look(&self.lanes);
        for (channel, paused) in pauses {
            if let Some(lane) = lanes.lanes.get_mut(&channel) {
                lane.state.paused = paused;
                // Whoever resumes a channel wants it to go now.
                if lane.state.paused.is_none() {
                    lane.state.closed = None;
                }
                batch.lanes.push(LaneRow { channel, state: lane.state.clone() });
            }
        }
        for halt in halts {
            lanes.halts.remove(&halt.app);
            batch.apps.push(halt);
        }
        for finished in finished {
            let Some(effect) = &finished.settle.settlement.lane else { continue };
            match lanes.apply(finished.channel, effect, &self.config, now) {
                Applied::Nothing => {}
                Applied::Lane(row) => batch.lanes.push(row),
                Applied::App(halt) => batch.apps.push(halt),
            }
        }
        // What ended here makes room for what is claimed here: one sync for both.
        lanes.free_places(finished);
        // The store knows best how many are due once the earlier steps are done: every open channel asks.
        batch.claims = lanes.claims(now, |channel| self.queued(channel).max(1));
    }

    /// Remembers what ended for whoever looks.
    fn settled(&self, finished: &[Finished], committed: &Committed, now: Timestamp) {
        let mut lanes = look(&self.lanes);
        for (finished, applied) in finished.iter().zip(&committed.settled) {
            if !applied {
                tracing::warn!(message = %finished.settle.message, "an outcome came too late and changed nothing");
                continue;
            }
            let settlement = &finished.settle.settlement;
            lanes.remember(Change {
                at: now,
                message: finished.settle.message,
                channel: finished.channel,
                recipient: finished.recipient.clone(),
                state: settlement.to,
                reason: settlement.reason,
            });
        }
    }

    fn echo(&self, echoes: &[(ChannelId, String, bool)], committed: &Committed, now: Timestamp) {
        let mut lanes = look(&self.lanes);
        for ((channel, recipient, later), accepted) in echoes.iter().zip(&committed.accepted) {
            if let Accepted::New(message) = accepted {
                let state = if *later { State::Scheduled } else { State::Queued };
                let (channel, recipient) = (*channel, recipient.clone());
                lanes.remember(Change { at: now, message: *message, channel, recipient, state, reason: None });
            }
        }
    }

    fn waiting(&self, committed: &Committed, now: Timestamp) {
        let mut lanes = look(&self.lanes);
        for (message, channel, recipient) in &committed.waiting {
            lanes.remember(Change {
                at: now,
                message: *message,
                channel: *channel,
                recipient: recipient.clone(),
                state: State::Waiting,
                reason: Some("no_credential"),
            });
        }
    }

    fn dispatch(&self, committed: Committed) {
        let in_flight = {
            let mut lanes = look(&self.lanes);
            for (channel, arrival) in &committed.arrivals {
                if let Some(lane) = lanes.lanes.get_mut(channel) {
                    lane.state.arrival = *arrival;
                }
            }
            for claimed in &committed.claimed {
                if let Some(lane) = lanes.lanes.get_mut(&claimed.channel) {
                    lane.in_flight += 1;
                }
            }
            lanes.in_flight()
        };
        self.in_flight.send_replace(in_flight);
        for claimed in committed.claimed {
            // The task ends by itself: each of its steps has a deadline. What it was about is in the store.
            drop(tokio::spawn(Arc::clone(&self.pipeline).attempt(claimed)));
        }
    }
}

/// What was taken from the queue for one transaction.
#[derive(Default)]
struct Gathered {
    size: usize,
    finished: Vec<Finished>,
    batch: Batch,
    pauses: Vec<Pause>,
    halts: Vec<AppHalt>,
    replies: Replies,
}

/// Who waits for which part of the answer.
#[derive(Default)]
struct Replies {
    operated: Vec<(usize, Reply<Vec<Operated>>)>,
    accepted: Vec<(usize, Reply<Vec<Accepted>>)>,
    credentials: Vec<(usize, Reply<Vec<CredentialIntake>>)>,
    fired: Vec<Reply<Fired>>,
    purged: Vec<Reply<(u32, u32)>>,
    done: Vec<Reply<()>>,
}

impl Gathered {
    fn add(&mut self, work: Work) {
        self.size += match work {
            Work::Settle(finished) => {
                self.finished.push(*finished);
                1
            }
            Work::Operate(operations, reply) => {
                let count = operations.len();
                self.replies.operated.push((count, reply));
                self.batch.operations.extend(operations);
                count
            }
            Work::Accept(messages, reply) => {
                let count = messages.len();
                self.replies.accepted.push((count, reply));
                self.batch.messages.extend(messages);
                count
            }
            Work::Credentials(credentials, reply) => {
                let count = credentials.len();
                self.replies.credentials.push((count, reply));
                self.batch.credentials.extend(credentials);
                count
            }
            Work::Token(row, reply) => {
                self.batch.tokens.push(row);
                self.replies.done.push(reply);
                1
            }
            Work::Pause(channel, paused, reply) => {
                self.pauses.push((channel, paused));
                self.replies.done.push(reply);
                1
            }
            Work::Lift(app, reply) => {
                self.halts.push(app);
                self.replies.done.push(reply);
                1
            }
            Work::Fire(firing, reply) => {
                self.batch.firings.push(*firing);
                self.replies.fired.push(reply);
                1
            }
            Work::Run(progress, reply) => {
                self.batch.runs.push(progress);
                self.replies.done.push(reply);
                1
            }
            Work::Purge(reply) => {
                self.batch.purge_credentials = true;
                self.replies.purged.push(reply);
                1
            }
        }
        .max(1);
    }
}

impl Replies {
    /// A caller that no longer waits is none of our business: what it asked for is done.
    fn answer(self, committed: &Committed) {
        parts(self.operated, &committed.operated);
        parts(self.accepted, &committed.accepted);
        parts(self.credentials, &committed.credentials);
        for (reply, fired) in self.fired.into_iter().zip(&committed.fired) {
            drop(reply.send(Ok(*fired)));
        }
        for reply in self.purged {
            drop(reply.send(Ok(committed.purged)));
        }
        for reply in self.done {
            drop(reply.send(Ok(())));
        }
    }

    fn refuse(self, error: &Arc<StoreError>) {
        fn each<T>(replies: impl IntoIterator<Item = Reply<T>>, error: &Arc<StoreError>) {
            for reply in replies {
                drop(reply.send(Err(Arc::clone(error))));
            }
        }
        each(self.operated.into_iter().map(|(_, reply)| reply), error);
        each(self.accepted.into_iter().map(|(_, reply)| reply), error);
        each(self.credentials.into_iter().map(|(_, reply)| reply), error);
        each(self.fired, error);
        each(self.purged, error);
        each(self.done, error);
    }
}

/// Gives each caller its part of a list, in the order they were gathered.
fn parts<T: Clone>(replies: Vec<(usize, Reply<Vec<T>>)>, answers: &[T]) {
    let mut start = 0;
    for (count, reply) in replies {
        drop(reply.send(Ok(answers[start..start + count].to_vec())));
        start += count;
    }
}

/// An operator's act, as the store takes it.
pub(crate) fn operation(message: tidings_model::MessageId, event: Event, note: &str) -> Operation {
    Operation { message, event, from: None, due_at: None, note: note.to_owned() }
}
