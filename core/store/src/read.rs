//! What is read: rows for people and for the API, a page at a time, newest first.

use std::fmt;

use tidings_model::{CredentialId, MessageId, RunId, State, Timestamp};

/// Rows and where to go on.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// What to ask for to see the rows after these; `None` at the end.
    pub next: Option<i64>,
}

/// Which messages.
#[derive(Debug, Clone, Default)]
pub struct MessageFilter {
    /// In this state.
    pub state: Option<State>,
    /// Of this channel.
    pub channel: Option<String>,
    /// Of this template.
    pub template: Option<String>,
    /// For this recipient.
    pub recipient: Option<String>,
    /// Standing there for this reason.
    pub reason: Option<String>,
    /// Made by this run.
    pub run: Option<RunId>,
    /// Accepted at this instant or later, in the order of acceptance.
    pub newer_than: Option<Timestamp>,
    /// Accepted before this instant, in the order of acceptance.
    pub older_than: Option<Timestamp>,
    /// Older than this one: a cursor.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// Which messages a bulk act is for. Those of no state are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BulkFilter {
    /// In one of these states.
    pub states: Vec<State>,
    /// Of this channel.
    pub channel: Option<String>,
    /// Of this template.
    pub template: Option<String>,
    /// For this recipient.
    pub recipient: Option<String>,
    /// Standing there for this reason.
    pub reason: Option<String>,
    /// Made by this run.
    pub run: Option<RunId>,
}

impl fmt::Display for BulkFilter {
    /// As it is typed: `state=failed channel=alerts`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let states: Vec<&str> = self.states.iter().map(|state| state.as_str()).collect();
        write!(f, "state={}", states.join(","))?;
        let run = self.run.map(|run| run.to_string());
        let others = [
            ("channel", &self.channel),
            ("template", &self.template),
            ("to", &self.recipient),
            ("reason", &self.reason),
            ("run", &run),
        ];
        for (name, value) in others {
            if let Some(value) = value {
                write!(f, " {name}={value}")?;
            }
        }
        Ok(())
    }
}

/// Since when a message must stand where it is to belong to a plan: what ended after the plan was made and before now is
/// not of it. What ended in a future that the clock has left since is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// When the plan was made.
    pub at: Timestamp,
    /// The present instant.
    pub now: Timestamp,
}

/// A stretch of messages by their ids: what a bulk act that began at an instant is still for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// After this one.
    pub after: MessageId,
    /// Up to this one, and with it.
    pub until: MessageId,
}

impl Span {
    /// All of them.
    pub const ALL: Span = Span { after: MessageId(0), until: MessageId(i64::MAX) };
}

/// What a bulk act is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BulkCount {
    /// How many messages, by state and channel: none of them is zero.
    pub groups: Vec<(State, String, u64)>,
    /// Up to this one: what comes later is another's business.
    pub last: Option<MessageId>,
    /// Whether an attempt of one of them may have arrived. Known of those that stopped short of being sent alone.
    pub ambiguous: bool,
}

impl BulkCount {
    /// How many messages in all.
    pub fn sum(&self) -> u64 {
        self.groups.iter().map(|group| group.2).sum()
    }
}

/// Messages that stopped short of being sent in one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReasonRow {
    /// Their channel's name.
    pub channel: String,
    /// Their template's name.
    pub template: String,
    /// Where they stand.
    pub state: State,
    /// Why, in a word.
    pub reason: Option<String>,
    /// How many.
    pub count: i64,
    /// When the first of them ended; for held ones, was due.
    pub oldest_at: Timestamp,
    /// When the last of them did.
    pub newest_at: Timestamp,
    /// The one that was accepted last.
    pub newest: MessageId,
}

/// A message, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageRow {
    /// The message.
    pub id: MessageId,
    /// Its channel's name.
    pub channel: String,
    /// Its template's name.
    pub template: String,
    /// Who is told.
    pub recipient: String,
    /// Where it stands.
    pub state: State,
    /// Higher goes first.
    pub priority: i64,
    /// When it is or was due.
    pub due_at: Timestamp,
    /// Attempts that counted.
    pub attempts: i64,
    /// Whether an attempt may have arrived.
    pub ambiguous: bool,
    /// Not after.
    pub expires_at: Option<Timestamp>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Why it stands there, in a word.
    pub reason: Option<String>,
    /// Why, for people.
    pub detail: Option<String>,
    /// What the provider calls it.
    pub provider_id: Option<String>,
    /// The run that made it.
    pub run: Option<RunId>,
    /// What its template is filled with; only when one message is asked for.
    pub data: Option<String>,
    /// The trace that its request belongs to, where the caller named one; only when one message is asked for.
    pub trace: Option<String>,
}

/// An attempt, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptRow {
    /// The generation of its claim.
    pub generation: i64,
    /// When it began.
    pub started_at: Timestamp,
    /// When its outcome was known.
    pub ended_at: Timestamp,
    /// The outcome's name.
    pub outcome: String,
    /// The answer, for people.
    pub detail: String,
}

/// Something that happened to a message and is neither an attempt nor an act, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MomentRow {
    /// `waiting` for a credential, `bound` to one after that, `sent` before a receipt came, or `bounced`.
    pub what: String,
    /// When.
    pub at: Timestamp,
    /// With what, or why.
    pub detail: Option<String>,
}

/// Which credentials.
#[derive(Debug, Clone, Default)]
pub struct CredentialFilter {
    /// Of this source.
    pub source: Option<String>,
    /// Of this recipient.
    pub recipient: Option<String>,
    /// Only those with uses left that no message holds.
    pub usable: bool,
    /// Older than this one: a cursor.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// A credential, for people: never its value.
#[derive(Debug, Clone, PartialEq)]
pub struct CredentialRow {
    /// The credential.
    pub id: CredentialId,
    /// The app it is for.
    pub app: String,
    /// Its source.
    pub source: String,
    /// Whose.
    pub recipient: String,
    /// The provider's scope; `None` for any.
    pub scope: Option<String>,
    /// Messages it still carries.
    pub uses_left: i64,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// The message it is bound to.
    pub bound_to: Option<MessageId>,
    /// When it was taken in.
    pub created_at: Timestamp,
}

/// How many messages of each channel are in each state.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts {
    /// Channel name, state, count.
    pub messages: Vec<(String, State, i64)>,
}

/// Which suppressions.
#[derive(Debug, Clone, Default)]
pub struct SuppressionFilter {
    /// Of this app.
    pub app: Option<String>,
    /// Of this recipient.
    pub recipient: Option<String>,
    /// Behind this app and recipient: a cursor.
    pub after: Option<(String, String)>,
    /// At most so many.
    pub limit: u32,
}

/// A recipient who is told nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuppressionRow {
    /// The app.
    pub app: String,
    /// Who.
    pub recipient: String,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub who: String,
    /// Since when.
    pub created_at: Timestamp,
    /// Until when; `None` for good.
    pub expires_at: Option<Timestamp>,
}

/// An engine that shares the store. Every time here is told by the database's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// Its number, which no other ever has: an engine that starts again is another.
    pub id: i64,
    /// What it is called.
    pub name: String,
    /// The program's version.
    pub version: String,
    /// A fingerprint of the config it goes by; empty before it told.
    pub config: String,
    /// Where its API is, if it has one.
    pub address: Option<String>,
    /// When it came.
    pub started_at: Timestamp,
    /// When it was heard of last.
    pub renewed_at: Timestamp,
    /// Until when what it sends is its own.
    pub lease_until: Timestamp,
    /// It takes nothing new.
    pub draining: bool,
    /// Messages on their way.
    pub in_flight: u32,
    /// Messages sent in a second, as it told last.
    pub sent_per_s: u32,
    /// The instant of this look.
    pub now: Timestamp,
}

impl NodeRow {
    /// Whether it was there at the instant of the look.
    pub fn is_there(&self) -> bool {
        self.lease_until > self.now
    }
}
