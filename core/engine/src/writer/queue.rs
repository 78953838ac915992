//! The writer's queue: what may be asked of the next transaction, and the handle that asks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidings_model::limits::WRITER_QUEUE_MAX;
use tidings_model::{AppName, AuditId, ScheduleName, Timestamp, WebhookName};
use tidings_store::{
    Accepted, AppHalt, AuditEntry, ChannelId, CredentialIntake, FetchRight, Fired, Firing, KeyChange, NewCredential,
    NewMessage, NoticeSettle, Operated, Operation, RunNote, RunStep, ScheduleChange, Settle, SignpostChange, Stepped,
    StoreError, SuppressionChange, Sweep, Swept, TokenRow,
};
use tokio::sync::{mpsc, oneshot};

use crate::config::Config;
use crate::events::{Besides, Whose};
use crate::outage::StoreWatch;
use crate::receive::Effects;
use crate::refusal::Refusal;

/// How long a caller waits for a place in the writer's queue before it is told that the engine is busy.
const QUEUE_WAIT: Duration = Duration::from_secs(5);

/// Where the answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Arc<StoreError>>>;

/// A channel and since when and why it is paused; `None` to go on.
pub(super) type Pause = (ChannelId, Option<(Timestamp, String)>);

/// Something for the next transaction.
pub(super) enum Work {
    Settle(Box<Finished>),
    Operate(Deed, Reply<Done>),
    Record(AuditEntry, Reply<()>),
    Accept(Vec<NewMessage>, Reply<Vec<Accepted>>),
    Credentials(Vec<NewCredential>, Reply<Vec<CredentialIntake>>),
    Push(Effects, Reply<Vec<CredentialIntake>>),
    Token(TokenRow, Fetch, Reply<()>),
    Pause(Pause, AuditEntry, Reply<()>),
    Lift(AppHalt, AuditEntry, Reply<()>),
    Redefine(Box<Config>, AuditEntry, Reply<()>),
    Fire(Vec<Firing>, Vec<(ScheduleName, ScheduleChange)>, Option<AuditEntry>, Reply<Vec<Fired>>),
    Run(Box<RunNote>, Option<AuditEntry>, Reply<bool>),
    Step(Vec<NewMessage>, Box<RunStep>, Reply<Taken>),
    Sweep(Sweep, Reply<Swept>),
    Tell(Vec<Besides>),
    Key(KeyChange, AuditEntry, Reply<()>),
    Notices(Box<NoticeSettle>, Vec<Besides>, Reply<()>),
    ResumeWebhook(WebhookName, AuditEntry, Reply<()>),
    Suppress(SuppressionChange, AuditEntry, Reply<()>),
    Signpost(SignpostChange, Reply<()>),
    MayFetch(AppName, Duration, Reply<FetchRight>),
    /// The server's disk was full when messages came beside the writer.
    Full(Arc<StoreError>),
}

/// Messages that somebody brings.
pub(super) struct Call {
    pub(super) messages: Vec<NewMessage>,
    pub(super) reply: Reply<Vec<Accepted>>,
}

/// Operations on messages that are one act, or a step of one.
#[derive(Debug, Default)]
pub(crate) struct Deed {
    pub(crate) operations: Vec<Operation>,
    /// What the record of changes keeps of it; `None` for no act at all.
    pub(crate) entry: Option<AuditEntry>,
    /// The entry that the step before this one has.
    pub(crate) onto: Option<AuditId>,
}

/// What became of a deed.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// For each operation, what became of the message.
    pub(crate) operated: Vec<Operated>,
    /// The entry in the record, if anything moved.
    pub(crate) recorded: Option<AuditId>,
}

/// What became of a step of a run, and of each of its messages.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) stepped: Stepped,
    pub(crate) accepted: Vec<Accepted>,
}

/// An attempt that ended.
pub(crate) struct Finished {
    pub(crate) whose: Whose,
    pub(crate) settle: Settle,
}

/// How far the fetch of a token is that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fetch {
    /// It is counted, and the token is still the one before.
    Begun,
    /// The token is new.
    Ended,
}

/// Hands work to the writer. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct WriterHandle {
    sender: mpsc::Sender<Work>,
    /// To those who take messages in beside the writer, where there are any.
    intakes: Option<mpsc::Sender<Call>>,
    watch: Arc<StoreWatch>,
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Work")
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Call")
    }
}

impl WriterHandle {
    /// Messages are taken in by the writer, or beside it.
    pub(crate) fn new(beside: bool) -> (WriterHandle, Inbox) {
        let (sender, receiver) = mpsc::channel(WRITER_QUEUE_MAX);
        let (intakes, calls) = beside.then(|| mpsc::channel(WRITER_QUEUE_MAX)).unzip();
        let watch = Arc::<StoreWatch>::default();
        (WriterHandle { sender, intakes, watch: Arc::clone(&watch) }, Inbox { receiver, calls, watch })
    }

    /// Tells of what failed because the store did not do something: in a line of its own, unless the store is away, which
    /// is told once for everybody.
    pub(crate) fn warn_unless_away(&self, what: fmt::Arguments<'_>) {
        self.watch.warn(what);
    }

    /// Hands an outcome over. It waits for a place as long as it takes: an outcome is worth more than the wait.
    pub(crate) async fn settle(&self, finished: Finished) {
        if self.sender.send(Work::Settle(Box::new(finished))).await.is_err() {
            tracing::warn!("an outcome came after the writer had stopped; the next start settles its message");
        }
    }

    pub(crate) async fn operate(&self, deed: Deed) -> Result<Done, Refusal> {
        self.ask(|reply| Work::Operate(deed, reply)).await
    }

    /// Writes an entry of the record alone: what it tells of changed nothing in the store.
    pub(crate) async fn record(&self, entry: AuditEntry) -> Result<(), Refusal> {
        self.ask(|reply| Work::Record(entry, reply)).await
    }

    /// Returns when everything that was handed over before is on disk.
    pub(crate) async fn barrier(&self) -> Result<(), Refusal> {
        self.operate(Deed::default()).await.map(drop)
    }

    pub(crate) async fn accept(&self, messages: Vec<NewMessage>) -> Result<Vec<Accepted>, Refusal> {
        match &self.intakes {
            Some(intakes) => self.ask_of(intakes, |reply| Call { messages, reply }).await,
            None => self.ask(|reply| Work::Accept(messages, reply)).await,
        }
    }

    /// Has the writer accept them: with what webhooks are to be told, in the same transaction, or because nobody else can.
    pub(super) async fn have_accepted(&self, calls: Vec<Call>) {
        for Call { messages, reply } in calls {
            // If it has stopped the reply is gone with them, and the caller hears that.
            drop(self.sender.send(Work::Accept(messages, reply)).await);
        }
    }

    /// Has the writer know that the store is full.
    pub(super) async fn tell_full(&self, full: Arc<StoreError>) {
        drop(self.sender.send(Work::Full(full)).await);
    }

    pub(crate) async fn credentials(&self, credentials: Vec<NewCredential>) -> Result<Vec<CredentialIntake>, Refusal> {
        self.ask(|reply| Work::Credentials(credentials, reply)).await
    }

    /// Writes what a push says, all of it or nothing.
    pub(crate) async fn push(&self, effects: Effects) -> Result<(), Refusal> {
        self.ask(|reply| Work::Push(effects, reply)).await.map(drop)
    }

    pub(crate) async fn save_token(&self, row: TokenRow, fetch: Fetch) -> Result<(), Refusal> {
        self.ask(|reply| Work::Token(row, fetch, reply)).await
    }

    /// Has told with the next transaction what happened without one.
    pub(crate) async fn tell(&self, besides: Vec<Besides>) {
        if self.sender.send(Work::Tell(besides)).await.is_err() {
            tracing::debug!("something happened after the writer had stopped, and nobody is told");
        }
    }

    pub(crate) async fn pause(&self, pause: Pause, entry: AuditEntry) -> Result<(), Refusal> {
        self.ask(|reply| Work::Pause(pause, entry, reply)).await
    }

    pub(crate) async fn lift_halt(&self, app: AppHalt, entry: AuditEntry) -> Result<(), Refusal> {
        self.ask(|reply| Work::Lift(app, entry, reply)).await
    }

    /// Has everybody go on by another config.
    pub(crate) async fn redefine(&self, config: Config, entry: AuditEntry) -> Result<(), Refusal> {
        self.ask(|reply| Work::Redefine(Box::new(config), entry, reply)).await
    }

    /// Writes what was decided of schedules, all of it or nothing, and says what became of each firing. The entry is that
    /// of whoever makes the changes.
    pub(crate) async fn fire(
        &self,
        firings: Vec<Firing>,
        changes: Vec<(ScheduleName, ScheduleChange)>,
        entry: Option<AuditEntry>,
    ) -> Result<Vec<Fired>, Refusal> {
        self.ask(|reply| Work::Fire(firings, changes, entry, reply)).await
    }

    /// Writes what a run says of itself, with who ended it if somebody did; false if it had ended before.
    pub(crate) async fn run(&self, note: RunNote, entry: Option<AuditEntry>) -> Result<bool, Refusal> {
        self.ask(|reply| Work::Run(Box::new(note), entry, reply)).await
    }

    /// Accepts the messages of a run's step, and writes with them how far it is. `step.messages` is filled in.
    pub(crate) async fn step(&self, messages: Vec<NewMessage>, step: RunStep) -> Result<Taken, Refusal> {
        self.ask(|reply| Work::Step(messages, Box::new(step), reply)).await
    }

    /// Asks for the right to fetch the next token of an app, beside other engines.
    pub(crate) async fn may_fetch(&self, app: &AppName, within: Duration) -> Result<FetchRight, Refusal> {
        self.ask(|reply| Work::MayFetch(app.clone(), within, reply)).await
    }

    /// Writes a key that was made or revoked.
    pub(crate) async fn change_key(&self, change: KeyChange, entry: AuditEntry) -> Result<(), Refusal> {
        self.ask(|reply| Work::Key(change, entry, reply)).await
    }

    /// Writes where the messages of recipients are found.
    pub(crate) async fn signpost(&self, change: SignpostChange) -> Result<(), Refusal> {
        self.ask(|reply| Work::Signpost(change, reply)).await
    }

    /// Writes what webhooks were told, and tells what came of it.
    pub(crate) async fn settle_notices(&self, settle: NoticeSettle, besides: Vec<Besides>) -> Result<(), Refusal> {
        self.ask(|reply| Work::Notices(Box::new(settle), besides, reply)).await
    }

    pub(crate) async fn resume_webhook(&self, webhook: WebhookName, entry: AuditEntry) -> Result<(), Refusal> {
        self.ask(|reply| Work::ResumeWebhook(webhook, entry, reply)).await
    }

    /// Writes that somebody is told nothing, or something again.
    pub(crate) async fn suppress(&self, change: SuppressionChange, entry: AuditEntry) -> Result<(), Refusal> {
        self.ask(|reply| Work::Suppress(change, entry, reply)).await
    }

    /// Removes a slice of what is old.
    pub(crate) async fn sweep(&self, sweep: Sweep) -> Result<Swept, Refusal> {
        self.ask(|reply| Work::Sweep(sweep, reply)).await
    }

    /// How many pieces of work wait for the writer, or for those who take messages in beside it, and how many could.
    pub(crate) fn queue(&self) -> (usize, usize) {
        // Of two the one whose callers are told first that the engine is busy: both may be as long.
        let of_intakes = self.intakes.as_ref().map(length).unwrap_or_default();
        length(&self.sender).max(of_intakes)
    }

    async fn ask<T>(&self, work: impl FnOnce(Reply<T>) -> Work) -> Result<T, Refusal> {
        self.ask_of(&self.sender, work).await
    }

    async fn ask_of<T, W>(&self, queue: &mpsc::Sender<W>, work: impl FnOnce(Reply<T>) -> W) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        match queue.send_timeout(work(reply), QUEUE_WAIT).await {
            Ok(()) => {}
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => return Err(Refusal::busy()),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => return Err(Refusal::stopping()),
        }
        match answer.await {
            Ok(answer) => answer.map_err(|error| {
                self.watch.refused();
                Refusal::from(error)
            }),
            Err(_) => Err(Refusal::stopping()),
        }
    }
}

/// How long a queue is, and how long it may be.
fn length<T>(queue: &mpsc::Sender<T>) -> (usize, usize) {
    (queue.max_capacity() - queue.capacity(), queue.max_capacity())
}

/// The writer's end of the queue.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(super) receiver: mpsc::Receiver<Work>,
    /// What comes to those who take messages in, until they have it.
    pub(super) calls: Option<mpsc::Receiver<Call>>,
    pub(super) watch: Arc<StoreWatch>,
}
