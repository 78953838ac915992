//! What operators and callers change, and the record of it: who, what, why. A change and its entry are one transaction.

use std::sync::Arc;

use tidings_model::limits::DETAIL_BYTES_MAX;
use tidings_model::{Event, MessageId, State};
use tidings_store::{AuditEntry, Operated, Operation};

use crate::handle::{ChannelView, EngineHandle, channel_unknown, message_unknown};
use crate::refusal::{Class, Refusal};
use crate::writer::Deed;

/// Who makes a change, and why: what the record keeps of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    who: Arc<str>,
    why: Option<String>,
}

impl By {
    /// Whoever has that name, for this reason: an empty one is none.
    ///
    /// # Errors
    ///
    /// The reason is longer than [`DETAIL_BYTES_MAX`]: it is kept, and has a bound.
    pub fn new(who: impl Into<Arc<str>>, why: Option<String>) -> Result<By, Refusal> {
        let why = why.filter(|why| !why.is_empty());
        match why.as_ref().map_or(0, String::len) {
            0..=DETAIL_BYTES_MAX => Ok(By { who: who.into(), why }),
            found => {
                let detail = format!("the note has {found} bytes; at most {DETAIL_BYTES_MAX} are kept");
                Err(Refusal::invalid("note-too-long", detail))
            }
        }
    }

    /// Who.
    pub fn who(&self) -> &str {
        &self.who
    }

    /// Why, if it was said.
    pub fn why(&self) -> Option<&str> {
        self.why.as_deref()
    }

    /// What stands with the thing that was changed: why, or at least what and who, as in `paused by local`.
    pub(crate) fn note(&self, changed: &str) -> String {
        self.why.clone().unwrap_or_else(|| format!("{changed} by {}", self.who))
    }

    /// The entry of an act on that subject.
    pub fn entry(&self, act: &'static str, subject: impl Into<String>) -> AuditEntry {
        let (who, why) = (self.who.to_string(), self.why.clone());
        AuditEntry { who, act, subject: subject.into(), why, detail: None }
    }
}

/// How an act on messages is called in the record, and what a message is that it was done to.
pub(crate) fn words(event: Event) -> (&'static str, &'static str) {
    match event {
        Event::Cancel => ("message.cancel", "cancelled"),
        Event::Retry | Event::RetryLater => ("message.retry", "retried"),
        Event::Hold => ("message.hold", "held"),
        Event::Release => ("message.release", "released"),
        other => unreachable!("`{}` is no act of an operator", other.as_str()),
    }
}

impl EngineHandle {
    /// Carries out an operator's act on a message: `Cancel`, `Retry`, `Hold` or `Release`. One to a suppressed recipient is
    /// not sent again.
    pub async fn operate(&self, message: MessageId, event: Event, by: &By) -> Result<State, Refusal> {
        if matches!(event, Event::Retry | Event::Release) {
            self.may_be_told(message).await?;
        }
        let (act, changed) = words(event);
        let operation = Operation { message, event, from: None, due_at: None, reason: None, note: by.note(changed) };
        let entry = Some(by.entry(act, message.to_string()));
        let done = self.shared.writer.operate(Deed { operations: vec![operation], entry, onto: None }).await?;
        match done.operated.into_iter().next() {
            Some(Operated::Moved(state)) => Ok(state),
            Some(Operated::Refused(refused)) => {
                let detail = format!("{message}: {refused}");
                Err(Refusal::new(Class::Conflict, "state", detail))
            }
            Some(Operated::NoSuchMessage) | None => Err(message_unknown(message)),
        }
    }

    /// Stops a channel from claiming. What is on its way goes on.
    pub async fn pause(&self, name: &str, by: &By) -> Result<ChannelView, Refusal> {
        let paused = Some((self.shared.clock.now(), by.note("paused")));
        let entry = by.entry("channel.pause", name);
        self.shared.writer.pause((self.channel_id(name)?, paused), entry).await?;
        self.channel(name)
    }

    /// Lets a channel go on, now.
    pub async fn resume(&self, name: &str, by: &By) -> Result<ChannelView, Refusal> {
        let entry = by.entry("channel.resume", name);
        self.shared.writer.pause((self.channel_id(name)?, None), entry).await?;
        self.channel(name)
    }

    fn channel(&self, name: &str) -> Result<ChannelView, Refusal> {
        self.channels().into_iter().find(|view| view.name.as_str() == name).ok_or_else(|| channel_unknown(name))
    }

    /// Writes an entry for a change that is none of the store's: a copy that was made, a config that was read again.
    /// A change of the store takes its entry along instead.
    pub async fn record(&self, entry: AuditEntry) -> Result<(), Refusal> {
        self.shared.writer.record(entry).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_has_a_bound_and_an_empty_one_is_none() {
        let by = |length| By::new("local", Some("x".repeat(length)));
        assert_eq!(by(DETAIL_BYTES_MAX).unwrap().why().map(str::len), Some(DETAIL_BYTES_MAX));
        assert_eq!(by(DETAIL_BYTES_MAX + 1).unwrap_err().code, "note-too-long");
        assert_eq!(by(0).unwrap().why(), None);
    }

    #[test]
    fn what_was_changed_says_why_or_at_least_who() {
        let by = |why: Option<&str>| By::new("billing", why.map(str::to_owned)).unwrap();
        assert_eq!(by(Some("the bug is fixed")).note("retried"), "the bug is fixed");
        assert_eq!(by(None).note("retried"), "retried by billing");
    }
}
