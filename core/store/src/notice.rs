//! What webhooks are still to be told: written with the change itself, gone when it was told.

use tidings_model::{NoticeId, Timestamp, WebhookName};

/// Something that a webhook is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNotice {
    /// Whom.
    pub webhook: WebhookName,
    /// What happened, as in `message.sent`.
    pub event: &'static str,
    /// To what: a JSON object.
    pub data: String,
}

/// A notice that is still to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeRow {
    /// The same at every try, and never used twice in a store.
    pub id: NoticeId,
    /// What happened.
    pub event: String,
    /// When.
    pub happened_at: Timestamp,
    /// To what: a JSON object.
    pub data: String,
    /// Tries before.
    pub attempts: u32,
    /// When the next is due.
    pub due_at: Timestamp,
}

/// What became of the notices of one webhook that were tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeSettle {
    /// Whose.
    pub webhook: WebhookName,
    /// Those that were told, or are given up.
    pub done: Vec<NoticeId>,
    /// Those that are tried again: tries so far, when, and what was found instead of a yes.
    pub again: Vec<(NoticeId, u32, Timestamp, String)>,
    /// How the webhook stands now.
    pub standing: WebhookStanding,
}

/// How a webhook stands, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebhookStanding {
    /// Since when every try failed; `None` while they succeed.
    pub failing_since: Option<Timestamp>,
    /// Since when it is told nothing more, and why.
    pub disabled: Option<(Timestamp, String)>,
    /// Notices that were given up after their last try.
    pub given_up: u64,
    /// Notices that left because too many waited.
    pub dropped: u64,
}

/// The notices of a webhook after a transaction that touched them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// How many wait.
    pub pending: u64,
    /// How many are new.
    pub new: u64,
    /// How many left because too many waited.
    pub dropped: u64,
}
