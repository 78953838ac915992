//! The vocabulary of Tidings and every rule that needs no I/O.
//!
//! Everything here is a value or a pure function of values: time and randomness are passed in.
//! No async, no SQL, no sockets. The modules in reading order:

pub mod access;

pub mod id;
pub mod time;

pub mod state;

pub mod outcome;

pub mod retry;

pub mod settle;

pub mod credential;

pub mod forecast;

pub mod rate;

pub mod run;

#[cfg(feature = "cron")]
pub mod cron;

pub mod secret;

pub mod mask;

pub mod trace;

mod hash;

pub mod spelling;

pub mod signpost;

pub mod limits;

pub use access::{Scope, Scopes};
pub use credential::{CredentialFacts, CredentialKind};
pub use id::{
    AppName, AuditId, ChannelName, CredentialId, IdempotencyKey, InvalidName, KeyName, MessageId, NoticeId, Recipient,
    RunId, ScheduleName, SourceName, TemplateName, WebhookName,
};
pub use outcome::Outcome;
pub use run::RunState;
pub use settle::{Attempt, CredentialFate, LaneEffect, OnUnknown, Policy, Settlement};
pub use state::{Event, Refused, State};
pub use time::{Clock, Timestamp};
