//! The record of changes: who changed what, when, why. A row is written in the transaction of its change.

use std::ops::Range;

use tidings_model::{AuditId, Timestamp};

/// What is written of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Who: a key's name, `local`, or what in the engine did it.
    pub who: String,
    /// What was done, as in `channel.pause`.
    pub act: &'static str,
    /// To what: a message, a channel, a key.
    pub subject: String,
    /// Why, in the words of whoever did it.
    pub why: Option<String>,
    /// What else there is to say: the filter of a bulk act, what changed of a config.
    pub detail: Option<String>,
}

/// An entry for a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What is written.
    pub entry: AuditEntry,
    /// Of an act on messages: the entry is written if one of them moved, with how many did.
    pub acts: Option<Acts>,
    /// Of a run: the place in [`Batch::runs`](crate::Batch::runs) of the note that the entry is written with.
    pub of_run: Option<usize>,
}

impl From<AuditEntry> for Record {
    /// An entry that is written whatever happens to messages.
    fn from(entry: AuditEntry) -> Record {
        Record { entry, acts: None, of_run: None }
    }
}

/// Operations of a batch that are one act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acts {
    /// Their places in [`Batch::operations`](crate::Batch::operations).
    pub operations: Range<usize>,
    /// The entry that an earlier step of the same act has: what moves now is added to its count.
    pub onto: Option<AuditId>,
}

/// Which entries of the record.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// By this one.
    pub who: Option<String>,
    /// Of this act, or of all acts on a thing: `message` stands for `message.cancel` and its like.
    pub act: Option<String>,
    /// On this subject.
    pub subject: Option<String>,
    /// At this instant or later.
    pub since: Option<Timestamp>,
    /// Older than this one: a cursor.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// An entry of the record, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// The entry.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub who: String,
    /// What was done.
    pub act: String,
    /// To what.
    pub subject: String,
    /// Why.
    pub why: Option<String>,
    /// What else there is to say.
    pub detail: Option<String>,
    /// Messages it moved, of an act on messages.
    pub count: Option<i64>,
}
