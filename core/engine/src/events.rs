//! What happened: one list of everything a transaction changed, that screens, streams and webhooks live on.
//!
//! `changes` makes the list of a batch and what became of it, purely. The ring holds the last of it in memory for
//! whoever reads along; what a webhook is to be told is written in the transaction of the change itself.

mod changes;
mod filter;
mod kind;
mod object;
mod reader;
mod ring;
mod watch;

use std::sync::Arc;

use tidings_model::trace::TraceId;
use tidings_model::{MessageId, RunId, RunState, State, Timestamp};

pub(crate) use changes::{Besides, Names, Whose, changes, cut, named};
pub use filter::EventFilter;
pub use kind::EventKind;
pub(crate) use object::Object;
pub use reader::{Begin, EventReader, Gap, GapReason, NotAPlace, Place};
pub(crate) use ring::Ring;
pub(crate) use watch::Watch;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// When.
    pub at: Timestamp,
    /// What kind of thing.
    pub kind: EventKind,
    /// To what.
    pub what: What,
}

/// A name, shared by all the events that bear it. Empty where config no longer knows it.
pub type Name = Arc<str>;

/// To what something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A message.
    Message(MessageChange),
    /// A channel.
    Channel {
        /// Which.
        channel: Name,
        /// Until when it waits, if it does.
        until: Option<Timestamp>,
        /// Why, if there is something to say.
        reason: String,
    },
    /// An app, or its token.
    App {
        /// Which.
        app: Name,
        /// When its token ends, where that is what happened.
        expires_at: Option<Timestamp>,
        /// Why, if there is something to say.
        reason: String,
    },
    /// A run of a schedule.
    Run {
        /// Which.
        run: RunId,
        /// Of what.
        schedule: Name,
        /// Where it stands and what came of it, if it ended.
        ended: Option<(RunState, String)>,
    },
    /// How far a run of a schedule is.
    Progress {
        /// Which.
        run: RunId,
        /// Of what.
        schedule: Name,
        /// Parts done.
        done: u64,
        /// Parts in all, where that is known.
        total: Option<u64>,
    },
    /// Nominal times of a schedule that were not fired.
    Missed {
        /// Whose.
        schedule: Name,
        /// How many.
        count: u64,
        /// The first of them.
        first: Timestamp,
        /// The last of them.
        last: Timestamp,
        /// The verdict of the last.
        verdict: &'static str,
    },
    /// A schedule.
    Schedule {
        /// Which.
        schedule: Name,
        /// Why, if there is something to say.
        reason: String,
    },
    /// A plugin.
    Plugin {
        /// Which.
        plugin: Name,
        /// Why.
        reason: String,
    },
    /// Permits of one source, never whose they are.
    Credentials {
        /// Whose account they are for; empty where they are of several.
        app: Name,
        /// Their source; empty where they are of several.
        source: Name,
        /// How many.
        count: u64,
    },
    /// Permits that a channel has too few of.
    CredentialsLow {
        /// Whose sources they are of.
        channel: Name,
        /// Its app.
        app: Name,
        /// How many messages those carry that no message holds.
        count: u64,
        /// Fewer than so many are told.
        bound: u32,
    },
    /// The config.
    Config {
        /// Which settings differ, as far as there is room.
        changes: String,
        /// Why it is refused, if it is.
        reason: String,
    },
    /// A webhook of ours.
    Webhook {
        /// Which.
        webhook: Name,
        /// Why, if there is something to say.
        reason: String,
    },
}

/// A message that changed its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageChange {
    /// The message.
    pub message: MessageId,
    /// Its channel.
    pub channel: Name,
    /// What is said.
    pub template: Name,
    /// Who is told. Personal: shown only to who asked for it.
    pub recipient: String,
    /// Its new state.
    pub state: State,
    /// Why, in a word.
    pub reason: Option<&'static str>,
    /// Why, for people. A provider's words, which may be personal too.
    pub detail: String,
    /// What the provider calls it.
    pub provider_id: Option<String>,
    /// The trace that its caller named. Only where it is at hand: what is accepted and what is attempted has it; what
    /// operators, receipts and time do is done to thousands at once, without their requests being read.
    pub trace: Option<TraceId>,
}

/// How much is told of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Content {
    /// Ids, names, state and reason: nothing personal.
    #[default]
    Thin,
    /// The recipient, the provider's words and its id for the message as well.
    Full,
}

impl Happened {
    /// The event as it goes out, to streams and webhooks alike: `{"type":…,"timestamp":…,"data":{…}}` (Standard Webhooks
    /// 1.0, "Payload structure"). Below 20 kB by the bounds of what stands in it.
    pub fn to_json(&self, content: Content) -> String {
        let mut object = Object::new();
        object.text("type", self.kind.as_str());
        object.text("timestamp", &self.at.to_rfc3339());
        object.raw("data", &self.data(content));
        object.end()
    }

    /// The member `data` of it.
    pub(crate) fn data(&self, content: Content) -> String {
        let mut object = Object::new();
        match &self.what {
            What::Message(change) => {
                object.text("id", &change.message.to_string());
                object.some("channel", &change.channel);
                object.some("template", &change.template);
                object.text("state", change.state.as_str());
                object.some("reason", change.reason.unwrap_or_default());
                if let Some(trace) = change.trace {
                    object.text("trace_id", &trace.to_string());
                }
                if content == Content::Full {
                    object.text("recipient", &change.recipient);
                    object.some("detail", &change.detail);
                    object.some("provider_id", change.provider_id.as_deref().unwrap_or_default());
                }
            }
            What::Channel { channel, until, reason } => {
                object.text("channel", channel);
                object.instant("until", *until);
                object.some("reason", reason);
            }
            What::App { app, expires_at, reason } => {
                object.text("app", app);
                object.instant("expires_at", *expires_at);
                object.some("reason", reason);
            }
            What::Run { run, schedule, ended } => {
                object.text("id", &run.to_string());
                object.some("schedule", schedule);
                if let Some((state, result)) = ended {
                    object.text("state", state.as_str());
                    object.some("result", result);
                }
            }
            What::Progress { run, schedule, done, total } => {
                object.text("id", &run.to_string());
                object.some("schedule", schedule);
                object.number("done", *done);
                if let Some(total) = total {
                    object.number("total", *total);
                }
            }
            What::Missed { schedule, count, first, last, verdict } => {
                object.text("schedule", schedule);
                object.text("verdict", verdict);
                object.number("count", *count);
                object.instant("first", Some(*first));
                object.instant("last", Some(*last));
            }
            What::Schedule { schedule, reason } => {
                object.text("schedule", schedule);
                object.some("reason", reason);
            }
            What::Plugin { plugin, reason } => {
                object.text("plugin", plugin);
                object.some("reason", reason);
            }
            What::Credentials { app, source, count } => {
                object.some("app", app);
                object.some("source", source);
                object.number("count", *count);
            }
            What::CredentialsLow { channel, app, count, bound } => {
                object.text("channel", channel);
                object.text("app", app);
                object.number("count", *count);
                object.number("bound", (*bound).into());
            }
            What::Config { changes, reason } => {
                object.some("changes", changes);
                object.some("reason", reason);
            }
            What::Webhook { webhook, reason } => {
                object.text("webhook", webhook);
                object.some("reason", reason);
            }
        }
        object.end()
    }

    /// The channel it belongs to, if it belongs to one.
    pub(crate) fn channel(&self) -> Option<&str> {
        match &self.what {
            What::Message(change) => Some(&change.channel),
            What::Channel { channel, .. } | What::CredentialsLow { channel, .. } => Some(channel),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
