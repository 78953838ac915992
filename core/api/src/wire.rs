//! What crosses the wire: JSON, instants as RFC 3339 in UTC, ids with their prefix, states by their words.
//!
//! Unknown members of a request are errors; unknown members of an answer are ignored, so that an older client reads a
//! newer engine.

mod audit;
mod bulk;
mod health;
mod reach;
mod run;
mod schedules;
mod suppression;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use audit::{AuditEntry, USER_HEADER};
pub use bulk::{BulkAnswer, BulkFilter, BulkGroup, BulkPlan, BulkReply, BulkRequest};
pub use health::{Check, Health};
pub use reach::{Forecast, ForecastDay, Forecasts, Obstacle, Permit, Reachability, TemplateReach};
pub use run::{Preflight, Run, RunDetail, RunLine, Unreachable};
pub use schedules::{
    Backfill, BackfillReply, BackfillRequest, Firing, NextTime, Paused, RunReply, Said, Schedule, SchedulePolicy,
    SkipRequest, Words,
};
pub use suppression::{Suppression, SuppressionReply, SuppressionRequest};

/// A message to send.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SendRequest {
    /// What is said: a template's name in config.
    pub template: String,
    /// Who is told.
    pub to: String,
    /// What the template is filled with.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
    /// Not before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_at: Option<String>,
    /// Not after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Higher goes first; 0 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i8>,
    /// The key under which the same request may come twice; over HTTP the header `Idempotency-Key` is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// What became of a message to send.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct SendReply {
    /// The message; empty in a dry run.
    pub id: String,
    /// `scheduled` or `queued`; the state it has by now when it is a repeat, `gone` if it ended and left the store since.
    pub state: String,
    /// Whether the same request had been accepted before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
    /// The trace that it belongs to: the caller's, or its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// One line of the answer to a bulk request, in the order of the lines that came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct BulkLine {
    /// The line, from 1.
    pub line: u64,
    /// What became of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<SendReply>,
    /// Or why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// An error, as RFC 9457 has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Problem {
    /// What kind of error: stable, `urn:tidings:problem:CODE`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was tried, expected and found, and what to do.
    pub detail: String,
    /// Whether the same request may be carried out later, without anybody changing it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retryable: bool,
    /// The trace that the request belongs to, where the caller named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

impl Problem {
    /// The last part of the type: `template-unknown`.
    pub fn code(&self) -> &str {
        self.kind.rsplit(':').next().unwrap_or_default()
    }

    /// The type with that last part.
    pub fn kind_of(code: &str) -> String {
        format!("urn:tidings:problem:{code}")
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Message {
    /// Its id: `msg_42`.
    pub id: String,
    /// Its channel.
    pub channel: String,
    /// Its template.
    pub template: String,
    /// Who is told.
    pub to: String,
    /// Where it stands.
    pub state: String,
    /// Higher goes first.
    pub priority: i64,
    /// When it is or was due.
    pub due_at: String,
    /// Attempts that counted.
    pub attempts: i64,
    /// Whether an attempt may have arrived.
    pub ambiguous: bool,
    /// When it was accepted.
    pub created_at: String,
    /// Not after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// Why it stands there, in a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What the provider calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// The run that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// What its template is filled with; only when one message is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// What its template makes of that by config as it is now, secrets left out; only when one message is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Map<String, Value>>,
    /// Why its template makes nothing of it; only when one message is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_problem: Option<String>,
    /// The trace that it belongs to: its caller's, or its own; only when one message is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Everything that happened to it, in order; only when one message is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<Moment>,
    /// What operators did to it, in order; only when one message is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acts: Vec<AuditEntry>,
    /// Its attempts that say something, in order; only when one message is asked for. A success at the first try is
    /// told by the message itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tries: Vec<Attempt>,
}

/// Something that happened to a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Moment {
    /// When; of an attempt, when it began.
    pub at: String,
    /// `accepted`, `waiting` (for a credential), `bound` (to the one it then went on with), `attempt`, an act as in
    /// `message.retry`, `sent`, `delivered`, `bounced`, `expired` or `cancelled`.
    pub what: String,
    /// With what, by whom, or why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// An attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Attempt {
    /// When it began.
    pub started_at: String,
    /// When its outcome was known.
    pub ended_at: String,
    /// The outcome in a word.
    pub outcome: String,
    /// The answer, for people.
    pub detail: String,
}

/// Messages that stopped short of being sent, by why: the largest group first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Reasons {
    /// The groups.
    pub items: Vec<Reason>,
    /// Whether there are more groups than one answer has; a state and a channel make them fewer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// Messages of one channel and template that stopped short of being sent for one reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Reason {
    /// Their channel.
    pub channel: String,
    /// Their template.
    pub template: String,
    /// Where they stand.
    pub state: String,
    /// Why, in a word.
    pub reason: String,
    /// How many.
    pub count: i64,
    /// When the first of them ended; for held ones, was due.
    pub oldest_at: String,
    /// When the last of them did.
    pub newest_at: String,
    /// The one that was accepted last, to look at.
    pub newest: String,
}

/// A copy of the store to make, over the local socket alone.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BackupRequest {
    /// A new file on the engine's machine; a relative path starts at the engine's working folder.
    pub path: String,
}

/// A copy of the store that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct BackupReply {
    /// Where it is.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// How long it took.
    pub took_ms: u64,
}

/// A page of a list, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// The cursor of the rows after these; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An act on a list of messages.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ActRequest {
    /// Why, for the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What became of an act.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct ActReply {
    /// The message.
    pub id: String,
    /// Its new state.
    pub state: String,
}

/// Credentials to take in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum CredentialsRequest {
    /// One.
    One(CredentialFields),
    /// Many, each with its own answer.
    Many(Vec<CredentialFields>),
}

/// A credential as its source's fields, which the source's plugin names: `form_id` and `openId`, say.
pub type CredentialFields = std::collections::BTreeMap<String, FieldValue>;

/// What a field of a credential may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum FieldValue {
    /// Text.
    Text(String),
    /// A number; as text to the source.
    Number(serde_json::Number),
    /// As if it were not there.
    Absent(()),
}

/// What became of posted credentials, in the order they came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct CredentialsReply {
    /// How many entered the ledger.
    pub accepted: u64,
    /// How many did not.
    pub refused: u64,
    /// One entry for each.
    pub items: Vec<CredentialResult>,
}

/// What became of one credential.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct CredentialResult {
    /// Its id in the ledger: `crd_7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// One line of the answer to a bulk of credentials, in the order of the lines that came.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct CredentialLine {
    /// The line, from 1.
    pub line: u64,
    /// Its id in the ledger: `crd_7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whether it had been posted before, and is not taken again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// Or why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// A credential of the ledger, without its value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Credential {
    /// Its id: `crd_7`.
    pub id: String,
    /// The app it is for.
    pub app: String,
    /// Its source.
    pub source: String,
    /// Whose.
    pub recipient: String,
    /// The provider's scope; absent for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Messages it still carries.
    pub uses_left: i64,
    /// When it ends; absent for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// The message it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_to: Option<String>,
    /// When it was taken in.
    pub created_at: String,
}

/// Everything an operator looks at first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Overview {
    /// The engine's version.
    pub version: String,
    /// The engine's clock.
    pub now: String,
    /// Since when it runs.
    pub started_at: String,
    /// Whether it is stopping: nothing new is claimed.
    pub draining: bool,
    /// Messages by state, over all channels.
    pub states: Counts,
    /// Outcomes since the start that came too late and changed nothing: their attempt was no longer the message's.
    #[serde(default)]
    pub late_outcomes: u64,
    /// What is wrong with the store, if it takes no new messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_problem: Option<String>,
    /// Channels by name.
    pub channels: Vec<Channel>,
    /// Schedules by name.
    pub schedules: Vec<Schedule>,
    /// Tokens by app.
    pub tokens: Vec<Token>,
    /// The webhooks that are failing or disabled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub webhooks: Vec<Webhook>,
    /// The engines that share the store; empty of a store in a file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<Node>,
    /// The messages that changed last, newest first: a few dozen.
    pub recent: Vec<Change>,
}

/// An engine. Of a store in a file there is one, without a lease.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and any go together")]
pub struct Node {
    /// Its number, which no other ever has: an engine that starts again is another. Only where several share a store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// What it is called: `[store] node`, or the machine's name.
    pub name: String,
    /// The program's version.
    pub version: String,
    /// Where its API is, if it listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// When it started.
    pub started_at: String,
    /// How sure the others may be of it. Only where several share a store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// Messages on their way; of one that is gone, when it was heard of last.
    pub in_flight: u32,
    /// Messages sent in a second, as it told last. Only where several share a store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_per_s: Option<u32>,
    /// It is stopping, or has: it takes nothing new.
    pub draining: bool,
    /// Its lease is over: what it had claimed is settled by the others. It is forgotten after a while.
    pub gone: bool,
    /// A fingerprint of the config it goes by, without what is a machine's own; empty before it told.
    pub config: String,
    /// Whether that is another than the config of the engine that answers.
    pub config_differs: bool,
    /// Whether it is the engine that answers.
    #[serde(rename = "self")]
    pub is_self: bool,
    /// Whether it does what one engine does for all of them.
    pub leads: bool,
    /// By how many milliseconds its clock is ahead of the database's; below zero behind it. Told by the engine that answers, of
    /// itself, where several may share a store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ahead_ms: Option<i64>,
}

/// Until when what a node claimed is its own, by the database's clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Lease {
    /// Since it was renewed, in milliseconds.
    pub age_ms: u64,
    /// Until it ends unless it is renewed, in milliseconds; 0 when it is over.
    pub ends_in_ms: u64,
}

/// Messages by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Counts {
    /// For later, or between two attempts.
    pub scheduled: i64,
    /// Due.
    pub queued: i64,
    /// Due, and without a credential.
    pub waiting: i64,
    /// On their way.
    pub sending: i64,
    /// Stopped.
    pub held: i64,
    /// Accepted by the provider.
    pub sent: i64,
    /// Receipt came.
    pub delivered: i64,
    /// Not sent.
    pub failed: i64,
    /// May have arrived.
    pub unknown: i64,
    /// Too late.
    pub expired: i64,
    /// Withdrawn.
    pub cancelled: i64,
}

/// A channel.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// Its app.
    pub app: String,
    /// Its transport.
    pub transport: String,
    /// `open`, `paused` (by an operator), `cooling` (the provider asked), `halted` (its app stopped),
    /// `parked` (a plugin of one of its stages is not there or may not go on).
    pub state: String,
    /// Why it is not open, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it opens by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Its messages by state.
    pub counts: Counts,
    /// How many may be on their way at once.
    pub in_flight_max: u32,
    /// Its rate, as config has it; absent for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
}

/// Who a caller is to this engine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Hello {
    /// The engine's version.
    pub version: String,
    /// The engine's clock.
    pub now: String,
    /// The key's name, or `local`.
    pub caller: String,
    /// What the caller may do: `send`, `collect`, `read`, `operate`.
    pub scopes: Vec<String>,
    /// Whether the call came over the local socket, where what touches the engine's files is taken too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub local: bool,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// What this engine can do beyond its first version: a client asks for it only where it is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}

/// A key of a caller to make.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    /// What the caller is called from now on, in the record of changes too.
    pub name: String,
    /// What it is for: `send`, `collect`, `read`, `operate`.
    #[cfg_attr(feature = "server", schemars(inner(regex(pattern = "^(send|collect|read|operate)$"))))]
    pub scopes: Vec<String>,
    /// Not after; not after the end of the key that makes it, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// A key that was made.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct NewKey {
    /// The key. It is shown this once: only what it hashes to is kept.
    pub key: String,
    /// What is known of it from now on.
    #[serde(flatten)]
    pub made: Key,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey").field("made", &self.made).finish_non_exhaustive()
    }
}

/// A key of a caller, without the key.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Key {
    /// Its name.
    pub name: String,
    /// What it is for: `send`, `collect`, `read`, `operate`.
    #[cfg_attr(feature = "server", schemars(inner(regex(pattern = "^(send|collect|read|operate)$"))))]
    pub scopes: Vec<String>,
    /// Whether config names it: it is changed there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_config: bool,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// By whom: a key's name, or `local`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Not after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Since when it is as good as none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
    /// When it was shown last, since the engine started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_at: Option<String>,
}

/// The token of an app, without the token.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Token {
    /// The app.
    pub app: String,
    /// `none`, `valid`, `expired`, `waiting` (a fetch failed and is tried again), `exhausted` (the day's fetches are
    /// used up) or `halted`.
    pub state: String,
    /// When it was fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched_at: Option<String>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Fetches on the provider's present day.
    pub fetches_today: u32,
    /// How many the day has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetches_max: Option<u32>,
    /// What is wrong, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A plugin.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Plugin {
    /// Its name.
    pub name: String,
    /// Its version; absent where it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// `working`, `parked` (it panicked or hung, and may not go on until the engine starts again) or `absent` (its file
    /// could not be loaded).
    pub state: String,
    /// Why it does not work, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its stages.
    pub stages: Vec<PluginStage>,
    /// Its file; absent where it is built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The SHA-256 of its file, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What a file did since the start that it should not have done; absent where it is built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<PluginCounters>,
}

/// A stage that a plugin offers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct PluginStage {
    /// What it does: `http_transport`, `credential_source`, …
    pub role: String,
    /// Its full name: `wechat.form_id`.
    pub name: String,
}

/// What the host counted of a plugin in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct PluginCounters {
    /// Panics that it caught itself.
    pub panics: u64,
    /// Answers that came after their deadline.
    pub late: u64,
    /// Answers to what was answered before.
    pub doubled: u64,
    /// Answers to what it was never given.
    pub foreign: u64,
    /// Values that broke the contract.
    pub misshapen: u64,
    /// Lines it logged.
    pub log_lines: u64,
    /// Lines that were left out because they were too many.
    pub log_lines_left_out: u64,
    /// Messages that it has and has not answered.
    pub in_flight: u64,
}

/// A message that changed its state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Change {
    /// When.
    pub at: String,
    /// The message.
    pub id: String,
    /// Its channel.
    pub channel: String,
    /// Who is told.
    pub to: String,
    /// Its new state.
    pub state: String,
    /// Why, in a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What reading config again found and did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct ReloadReply {
    /// Whether the engine goes on by the config that was read.
    pub applied: bool,
    /// What differs, by path. Empty if nothing does.
    pub changes: Vec<SettingChange>,
    /// What is no mistake and still worth a sentence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One setting of config that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct SettingChange {
    /// Its path: `channels.order-updates.rate`.
    pub setting: String,
    /// How it was written; absent if it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// How it is written; absent if it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Something that happened, as `GET /v1/events` and webhooks tell it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Event {
    /// What kind of thing, as in `message.sent`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When.
    pub timestamp: String,
    /// To what: ids, names, state, reason.
    pub data: Map<String, Value>,
}

/// The event `gap` of a stream: what a reader was not told, and cannot be told any more. Ask the lists again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Gap {
    /// How many events, wanted or not; missing where nobody can say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<u64>,
    /// When the last happened that the reader was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When the first happened that it is told now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// `too_slow`, `too_late` (it came back after what it missed had left), or `restarted` (the engine).
    pub reason: String,
}

/// A webhook of ours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Webhook {
    /// Its name.
    pub name: String,
    /// Where it is posted, without the path: a secret may stand there.
    pub url: String,
    /// What is told.
    pub events: Vec<String>,
    /// Only of these channels; empty for all.
    pub channels: Vec<String>,
    /// `thin` or `full`.
    pub content: String,
    /// `ok`, `failing` (every try fails, and it is tried again) or `disabled` (until an operator resumes it).
    pub state: String,
    /// Since when every try failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<String>,
    /// Since when it is told nothing more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What its receiver answered last that was no yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
    /// Notices that wait.
    pub pending: u64,
    /// Notices that its receiver took since the start.
    pub told: u64,
    /// Notices that left because too many waited.
    pub dropped: u64,
    /// Notices that were given up after their last try.
    pub given_up: u64,
}

/// What came of a notice that was posted to try a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct WebhookTest {
    /// Whether the receiver took it.
    pub taken: bool,
    /// What it answered, or what was found instead.
    pub answer: String,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}
