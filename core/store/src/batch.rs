//! What goes into one transaction of the writer, and what comes out of it.

use std::collections::BTreeMap;
use std::time::Duration;

use tidings_model::rate::{Arrival, Rate};
use tidings_model::signpost::{Block, PARTS};
use tidings_model::{
    AppName, AuditId, CredentialId, Event, IdempotencyKey, KeyName, MessageId, Recipient, Refused, RunId, ScheduleName,
    Scopes, Settlement, SourceName, State, Timestamp, WebhookName,
};

use crate::notice::{Backlog, NoticeSettle};

use crate::audit::Record;
use crate::run::{RunNote, RunStep, Stepped};
use crate::schedule::{Fired, Firing, ScheduleChange};

/// A channel, as the store numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub i64);

/// A template, as the store numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TemplateId(pub i64);

/// Everything that happened since the last transaction. The steps are done in the order of the fields.
#[derive(Debug, Default)]
pub struct Batch {
    /// The present instant.
    pub now: Timestamp,
    /// Outcomes of attempts.
    pub settles: Vec<Settle>,
    /// Acts of operators.
    pub operations: Vec<Operation>,
    /// Who makes the changes of this batch, and why.
    pub records: Vec<Record>,
    /// Recipients who are told nothing from now on, or something again.
    pub suppressions: Vec<SuppressionChange>,
    /// New messages.
    pub messages: Vec<NewMessage>,
    /// New credentials.
    pub credentials: Vec<NewCredential>,
    /// Credentials that their recipients take back.
    pub withdrawals: Vec<Withdrawal>,
    /// What providers tell of messages they took.
    pub receipts: Vec<Receipt>,
    /// Tokens that were fetched, and fetches that were counted.
    pub tokens: Vec<TokenRow>,
    /// Channels that were closed, opened, paused or resumed.
    pub lanes: Vec<LaneRow>,
    /// Apps that were halted or set going.
    pub apps: Vec<AppHalt>,
    /// Keys of callers that were made or revoked.
    pub keys: Vec<KeyChange>,
    /// Schedules whose time came.
    pub firings: Vec<Firing>,
    /// What operators do to schedules.
    pub schedules: Vec<(ScheduleName, ScheduleChange)>,
    /// What runs say of themselves: that they went on, or ended. Before any of their steps.
    pub runs: Vec<RunNote>,
    /// Steps of broadcasts, with their part of the messages.
    pub steps: Vec<RunStep>,
    /// Notices that were tried.
    pub notices: Vec<NoticeSettle>,
    /// Webhooks that an operator sets going.
    pub resumed: Vec<WebhookName>,
    /// Signposts to raise, and to remove.
    pub signposts: Vec<SignpostChange>,
    /// Channels that have room for messages.
    pub claims: Vec<ClaimRequest>,
    /// Whether to ask everybody again who waits and has some free credential: after a start, with perhaps another config.
    pub wake_all: bool,
    /// Slices of what leaves by age.
    pub sweeps: Vec<Sweep>,
    /// The clock was set back by so much since the last transaction: what waits by a delay waits no longer for it.
    pub set_back: Option<Duration>,
    /// The disk is full, or the clock is off: nothing is made due and nothing expires until that is over.
    pub spare: bool,
}

impl Batch {
    /// Rows that it brings, of those that come by the hundred.
    pub(crate) fn rows(&self) -> usize {
        self.settles.len() + self.messages.len() + self.credentials.len()
    }

    /// Whether it changes what every engine keeps in memory.
    pub(crate) fn changes_standing(&self) -> bool {
        !(self.lanes.is_empty()
            && self.apps.is_empty()
            && self.tokens.is_empty()
            && self.keys.is_empty()
            && self.resumed.is_empty())
    }
}

/// What one transaction did. Each list answers the list of the same meaning in the batch, in its order.
#[derive(Debug, Default)]
pub struct Committed {
    /// For each settle, whether it was applied: a late one, whose generation is over, is not, nor a second one.
    pub settled: Vec<bool>,
    /// For each operation, what became of the message.
    pub operated: Vec<Operated>,
    /// For each record, its entry; `None` if none of its messages moved.
    pub recorded: Vec<Option<AuditId>>,
    /// Every message that something other than an outcome moved: an operator, its time, a receipt, of this batch or one
    /// that had waited for an outcome of it.
    pub moved: Vec<Moved>,
    /// For each message, what was accepted under its key.
    pub accepted: Vec<Accepted>,
    /// For each credential, whether it is new.
    pub credentials: Vec<CredentialIntake>,
    /// For each receipt, what became of it.
    pub received: Vec<Received>,
    /// For each firing, the run that began, if this was the first to fire it.
    pub fired: Vec<Fired>,
    /// For each note of a run, whether it was written: a run that ended says nothing more.
    pub ran: Vec<bool>,
    /// For each step, what became of it.
    pub stepped: Vec<Stepped>,
    /// What was claimed: by channel as they were asked for, and in the order of each queue. On a server what needed a look at
    /// the rest of its queue stands behind the others of its channel.
    pub claimed: Vec<Claimed>,
    /// What was to be claimed and found no credential.
    pub waiting: Vec<Waiting>,
    /// The new rate state of each channel that claimed.
    pub arrivals: Vec<(ChannelId, Arrival)>,
    /// The notices of each webhook that the transaction touched.
    pub backlogs: BTreeMap<WebhookName, Backlog>,
    /// For each sweep, what left.
    pub swept: Vec<Swept>,
    /// Whether a bounded step stopped at its bound: there is more to do at once.
    pub more: bool,
    /// When the next message becomes due or runs out of time.
    pub next_due: Option<Timestamp>,
}

/// A message that something other than an outcome moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The message.
    pub message: MessageId,
    /// Its channel.
    pub channel: ChannelId,
    /// What is said.
    pub template: TemplateId,
    /// Who is told.
    pub recipient: String,
    /// What moved it.
    pub event: Event,
    /// Where it stands now.
    pub to: State,
    /// Why, in a word.
    pub reason: Option<&'static str>,
    /// Who and why, for people; empty where there is nothing to say.
    pub detail: String,
}

/// A message that waits for a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The message.
    pub message: MessageId,
    /// Its channel.
    pub channel: ChannelId,
    /// What is said.
    pub template: TemplateId,
    /// Who is told.
    pub recipient: String,
}

/// An outcome of one attempt.
#[derive(Debug, Clone)]
pub struct Settle {
    /// The message.
    pub message: MessageId,
    /// The generation of the claim.
    pub generation: i64,
    /// Its channel.
    pub channel: ChannelId,
    /// When the attempt began.
    pub started_at: Timestamp,
    /// When its outcome was known.
    pub ended_at: Timestamp,
    /// The outcome's name.
    pub outcome: &'static str,
    /// What follows.
    pub settlement: Settlement,
    /// Whether a crash, not an answer, ended the attempt.
    pub rescued: bool,
}

/// An act of an operator on one message.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The message.
    pub message: MessageId,
    /// The act: `Cancel`, `Retry`, `RetryLater`, `Hold` or `Release`.
    pub event: Event,
    /// Only from this state: one that moved since it was looked for is left alone. `None` for any the table allows.
    pub from: Option<State>,
    /// When a message that is retried later is due; now if not given.
    pub due_at: Option<Timestamp>,
    /// The word for why it stands there then; the act's own if not given.
    pub reason: Option<&'static str>,
    /// Who and why, for people.
    pub note: String,
}

/// What became of an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operated {
    /// The message stands there now.
    Moved(State),
    /// The table has no such move.
    Refused(Refused),
    /// There is no such message, or none any more.
    NoSuchMessage,
}

/// A message to accept.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// Its channel.
    pub channel: ChannelId,
    /// Its template.
    pub template: TemplateId,
    /// Who is told.
    pub recipient: Recipient,
    /// What the template is filled with: a JSON object.
    pub data: String,
    /// The caller's key for sending the same request twice.
    pub key: Option<IdempotencyKey>,
    /// The fingerprint of the request that carried it.
    pub body_hash: i64,
    /// Not before.
    pub send_at: Option<Timestamp>,
    /// Not after.
    pub expires_at: Option<Timestamp>,
    /// Higher goes first.
    pub priority: i8,
    /// The run that made it.
    pub run: Option<RunId>,
    /// The trace that its request belongs to, as `traceparent` has it, where the caller named one.
    pub trace: Option<String>,
}

/// What became of a message to accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It is in the store.
    New(MessageId),
    /// The same request was accepted before, as this message.
    Repeat(MessageId),
    /// The key belongs to another request.
    KeyTaken(MessageId),
    /// Its recipient is told nothing: until then, or for good. It is not in the store, and its key is free.
    Suppressed(Option<Timestamp>),
    /// Its run has ended. It is not in the store, and its key is free.
    RunOver,
}

/// Who is told nothing, or something again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SuppressionChange {
    /// This recipient is told nothing; if that was so before, it is now so for this reason and time.
    Add {
        /// The app.
        app: AppName,
        /// Who.
        recipient: Recipient,
        /// Why.
        reason: String,
        /// Who says so.
        who: String,
        /// Until when; `None` for good.
        expires_at: Option<Timestamp>,
    },
    /// This one is told again.
    Remove {
        /// The app.
        app: AppName,
        /// Who.
        recipient: Recipient,
    },
}

/// Where the messages of recipients are found from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignpostChange {
    /// A block is complete, and these are its lists.
    Raise {
        /// The block.
        block: Block,
        /// Its lists, by part.
        lists: Box<[Vec<u8>; PARTS]>,
    },
    /// No message of these blocks is left.
    Remove {
        /// The blocks.
        blocks: Vec<Block>,
    },
}

/// A credential to take into the ledger.
#[derive(Clone)]
pub struct NewCredential {
    /// The app it is for.
    pub app: AppName,
    /// Its source.
    pub source: SourceName,
    /// Whose.
    pub recipient: Recipient,
    /// The provider's scope; `None` for any.
    pub scope: Option<String>,
    /// What the provider wants to see.
    pub value: String,
    /// What makes it the same as another.
    pub identity: Option<String>,
    /// Messages it carries.
    pub uses: u32,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was given, where its provider says so.
    pub made_at: Option<Timestamp>,
}

impl std::fmt::Debug for NewCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewCredential").field("app", &self.app).field("source", &self.source).finish_non_exhaustive()
    }
}

/// What became of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialIntake {
    /// It is in the ledger.
    New(CredentialId),
    /// It was there before, used or not.
    Repeated,
}

/// Credentials that a recipient takes back. What is bound to a message goes on with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawal {
    /// The app they are for.
    pub app: AppName,
    /// Their source.
    pub source: SourceName,
    /// Whose.
    pub recipient: Recipient,
    /// The provider's scope; `None` for all there are.
    pub scope: Option<String>,
    /// The one that is meant; `None` for all there are.
    pub identity: Option<String>,
    /// What was given later stays.
    pub given_until: Timestamp,
}

/// What a provider tells of a message it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The app it was sent with.
    pub app: AppName,
    /// What the provider calls it.
    pub provider_id: String,
    /// Whether it arrived.
    pub delivered: bool,
    /// Why not, for people.
    pub detail: String,
    /// When this was told.
    pub received_at: Timestamp,
}

/// What became of a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// Its message moved.
    Moved,
    /// The message is where no receipt moves it: one came before.
    Repeated,
    /// No message of the app has that name. It is kept for a while: the outcome may be on its way.
    Unknown,
}

/// The token of an app, and how often one was fetched on that day.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// The app.
    pub app: AppName,
    /// A fingerprint of the account it was fetched for.
    pub account: String,
    /// The token; `None` before the first.
    pub value: Option<String>,
    /// Rises with each new token.
    pub generation: i64,
    /// When it was fetched.
    pub fetched_at: Option<Timestamp>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// The provider's day that `fetches` counts.
    pub day: i64,
    /// Fetches on that day.
    pub fetches: u32,
}

impl std::fmt::Debug for TokenRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenRow")
            .field("app", &self.app)
            .field("generation", &self.generation)
            .field("expires_at", &self.expires_at)
            .field("fetches", &self.fetches)
            .finish_non_exhaustive()
    }
}

/// Whether a channel takes messages on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChannelState {
    /// An operator paused it: since when, and the note.
    pub paused: Option<(Timestamp, String)>,
    /// The provider wants no more: until when, and what it said.
    pub closed: Option<(Timestamp, String)>,
    /// The state of its rate.
    pub arrival: Arrival,
}

/// A channel's state to write; its rate is written with the claims instead.
#[derive(Debug, Clone)]
pub struct LaneRow {
    /// The channel.
    pub channel: ChannelId,
    /// Its state.
    pub state: ChannelState,
}

/// An app's halt to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppHalt {
    /// The app.
    pub app: AppName,
    /// The fingerprint of the settings that were halted.
    pub fingerprint: String,
    /// Since when and why; `None` sets it going.
    pub halted: Option<(Timestamp, String)>,
}

/// A key of a caller, without the key: what it hashes to knows it again and makes no other.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// Its name, by which the caller is known.
    pub name: KeyName,
    /// The SHA-256 of the key, in hexadecimal.
    pub hash: String,
    /// What it is for.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// Not after.
    pub expires_at: Option<Timestamp>,
    /// Since when it is as good as none.
    pub revoked_at: Option<Timestamp>,
}

impl KeyRow {
    /// Whether it opens anything at that instant.
    pub fn is_usable(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

impl std::fmt::Debug for KeyRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRow").field("name", &self.name).field("scopes", &self.scopes).finish_non_exhaustive()
    }
}

/// A change of the keys.
#[derive(Debug, Clone)]
pub enum KeyChange {
    /// A new one; in the place of one of that name, if there was one.
    Made(KeyRow),
    /// One that is as good as none from that instant.
    Revoked {
        /// Its name.
        name: KeyName,
        /// Since when.
        at: Timestamp,
    },
}

/// A slice of what leaves by age: of which rows, and after which of them to look. A walk begins with the default of its
/// cursor and goes on with [`Swept::next`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sweep {
    /// Messages that ended, with their data and attempts.
    Messages {
        /// The last that was looked at.
        after: i64,
        /// What was sent, delivered, expired or cancelled leaves if it ended at this instant or before.
        done_before: Timestamp,
        /// What failed or is unknown leaves if it ended at this instant or before.
        failed_before: Timestamp,
    },
    /// Messages that ended in some states, as somebody asked for: with their data and attempts.
    Ended {
        /// The last that was looked at.
        after: i64,
        /// Terminal ones.
        states: Vec<State>,
        /// What ended at this instant or before leaves.
        before: Timestamp,
    },
    /// Credentials: stale ones at once, used ones when nobody need remember them any more.
    Credentials {
        /// The last that was looked at.
        after: i64,
    },
    /// Idempotency keys whose time is over.
    Keys {
        /// The last that was looked at.
        after: String,
    },
    /// Entries of the record of changes.
    Audit {
        /// The last that was looked at.
        after: i64,
        /// What was written at this instant or before leaves.
        before: Timestamp,
    },
    /// Runs that ended, and verdicts.
    Runs {
        /// The last that was looked at.
        after: i64,
        /// What ended, or was decided of, at this instant or before.
        before: Timestamp,
    },
}

/// What one slice did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swept {
    /// Rows that left.
    pub removed: u32,
    /// Credentials among them that had uses left.
    pub unused: u32,
    /// The next slice of the same walk; `None` at its end.
    pub next: Option<Sweep>,
}

/// Room in a channel.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// The channel.
    pub channel: ChannelId,
    /// At most so many.
    pub limit: u32,
    /// At most so many on their way in all, where other engines send in the same channel.
    pub in_flight_max: Option<u32>,
    /// The channel's rate, if it has one, and its state.
    pub rate: Option<(Rate, Arrival)>,
    /// Which credentials its messages need; `None` for none.
    pub needs: Option<Needs>,
}

/// The credentials that the messages of a channel need.
#[derive(Debug, Clone)]
pub struct Needs {
    /// Whose credentials.
    pub app: AppName,
    /// Of which sources, and how close to their end they are still bound.
    pub sources: Vec<SourceRule>,
    /// What the provider calls each template.
    pub scopes: Vec<(TemplateId, String)>,
}

/// A source a channel takes credentials from.
#[derive(Debug, Clone)]
pub struct SourceRule {
    /// The source.
    pub source: SourceName,
    /// A credential is not bound within this long of its end.
    pub margin: Duration,
}

/// A message that was claimed: one attempt is to be made, and its outcome carries the generation.
#[derive(Clone)]
pub struct Claimed {
    /// The message.
    pub message: MessageId,
    /// The fence.
    pub generation: i64,
    /// Its channel.
    pub channel: ChannelId,
    /// Its template.
    pub template: TemplateId,
    /// Who is told.
    pub recipient: String,
    /// What the template is filled with: a JSON object.
    pub data: String,
    /// Attempts that counted before this one.
    pub attempts: u32,
    /// Crashes it was in the middle of.
    pub rescues: u32,
    /// Whether an earlier attempt may have arrived.
    pub ambiguous: bool,
    /// The first attempt that may have reached the provider; this one if there was none.
    pub first_try_at: Timestamp,
    /// Not after.
    pub expires_at: Option<Timestamp>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// The credential that is bound to it.
    pub credential: Option<Bound>,
    /// The trace that its request belongs to, where the caller named one.
    pub trace: Option<String>,
}

impl std::fmt::Debug for Claimed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claimed")
            .field("message", &self.message)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

/// A credential bound to a message.
#[derive(Clone)]
pub struct Bound {
    /// The credential.
    pub credential: CredentialId,
    /// Its source.
    pub source: String,
    /// What the provider wants to see.
    pub value: String,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was taken in.
    pub taken_at: Timestamp,
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bound").field("credential", &self.credential).finish_non_exhaustive()
    }
}

/// A message that a crash left in the middle of an attempt.
#[derive(Debug, Clone)]
pub struct Orphan {
    /// The message.
    pub message: MessageId,
    /// The fence.
    pub generation: i64,
    /// Its channel.
    pub channel: ChannelId,
    /// What is said.
    pub template: TemplateId,
    /// Who is told.
    pub recipient: String,
    /// Attempts that counted before this one.
    pub attempts: u32,
    /// Crashes it was in the middle of before this one.
    pub rescues: u32,
    /// Whether an earlier attempt may have arrived.
    pub ambiguous: bool,
    /// When the attempt began.
    pub claimed_at: Timestamp,
    /// The first attempt that may have reached the provider.
    pub first_try_at: Timestamp,
    /// Not after.
    pub expires_at: Option<Timestamp>,
    /// The source of its credential, when that ends, and when it was taken in.
    pub credential: Option<(String, Option<Timestamp>, Timestamp)>,
}
