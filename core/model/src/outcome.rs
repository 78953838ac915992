//! What a plugin reads from a provider's answer.

use std::time::Duration;

use crate::time::Timestamp;

/// What one try came to. A plugin says what the answer means; [`crate::settle`] decides what follows.
///
/// `detail` and `reason` are for people: never a token, a secret or a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The provider took the message.
    Accepted {
        /// What the provider calls it, where it says so.
        provider_id: Option<String>,
    },
    /// The provider says it has this very message already.
    Duplicate {
        /// The answer, for people.
        detail: String,
    },
    /// The message cannot be sent as it is.
    Rejected {
        /// Why, for people.
        reason: String,
    },
    /// The credential was used up before.
    CredentialSpent {
        /// The answer, for people.
        detail: String,
    },
    /// The credential is wrong, expired, another user's, or withdrawn.
    CredentialInvalid {
        /// The answer, for people.
        detail: String,
    },
    /// The recipient does not exist for this app, left, or refuses it.
    RecipientGone {
        /// The answer, for people.
        detail: String,
    },
    /// The token was refused.
    TokenRejected {
        /// The answer, for people.
        detail: String,
    },
    /// Too fast: the channel waits.
    Throttled {
        /// How long, where the provider says so.
        retry_after: Option<Duration>,
        /// The answer, for people.
        detail: String,
    },
    /// The quota is used up: the channel waits for the next one.
    QuotaExhausted {
        /// When there is a new one, where it is known.
        until: Option<Timestamp>,
        /// The answer, for people.
        detail: String,
    },
    /// Certainly not sent, and worth another try.
    Retry {
        /// Not before this has passed, where the provider says so.
        after: Option<Duration>,
        /// The answer, for people.
        detail: String,
    },
    /// It may have been sent: the request went out and no readable answer came.
    Unknown {
        /// What was seen, for people.
        detail: String,
    },
    /// The template itself is wrong: no message of it can be sent until somebody mends it.
    TemplateBroken {
        /// The answer, for people.
        detail: String,
    },
    /// The app itself must stop until an operator acts.
    Halt {
        /// Why, for people.
        reason: String,
    },
}

impl Outcome {
    /// The word for it: in attempts, metrics and tests.
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Accepted { .. } => "accepted",
            Outcome::Duplicate { .. } => "duplicate",
            Outcome::Rejected { .. } => "rejected",
            Outcome::CredentialSpent { .. } => "credential_spent",
            Outcome::CredentialInvalid { .. } => "credential_invalid",
            Outcome::RecipientGone { .. } => "recipient_gone",
            Outcome::TokenRejected { .. } => "token_rejected",
            Outcome::Throttled { .. } => "throttled",
            Outcome::QuotaExhausted { .. } => "quota_exhausted",
            Outcome::Retry { .. } => "retry",
            Outcome::Unknown { .. } => "unknown",
            Outcome::TemplateBroken { .. } => "template_broken",
            Outcome::Halt { .. } => "halt",
        }
    }

    /// What was seen, for people; empty after a plain success.
    pub fn detail(&self) -> &str {
        match self {
            Outcome::Accepted { .. } => "",
            Outcome::Rejected { reason } | Outcome::Halt { reason } => reason,
            Outcome::Duplicate { detail }
            | Outcome::CredentialSpent { detail }
            | Outcome::CredentialInvalid { detail }
            | Outcome::RecipientGone { detail }
            | Outcome::TokenRejected { detail }
            | Outcome::Throttled { detail, .. }
            | Outcome::QuotaExhausted { detail, .. }
            | Outcome::Retry { detail, .. }
            | Outcome::Unknown { detail }
            | Outcome::TemplateBroken { detail } => detail,
        }
    }

    /// The same with its text for people changed: cut, or cleaned of what must not be kept.
    pub fn map_text(mut self, change: impl FnOnce(String) -> String) -> Outcome {
        match &mut self {
            Outcome::Accepted { .. } => {}
            Outcome::Rejected { reason: text } | Outcome::Halt { reason: text } => *text = change(std::mem::take(text)),
            Outcome::Duplicate { detail: text }
            | Outcome::CredentialSpent { detail: text }
            | Outcome::CredentialInvalid { detail: text }
            | Outcome::RecipientGone { detail: text }
            | Outcome::TokenRejected { detail: text }
            | Outcome::Throttled { detail: text, .. }
            | Outcome::QuotaExhausted { detail: text, .. }
            | Outcome::Retry { detail: text, .. }
            | Outcome::Unknown { detail: text }
            | Outcome::TemplateBroken { detail: text } => *text = change(std::mem::take(text)),
        }
        self
    }
}
