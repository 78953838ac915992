//! What is read of the ledger to say who can be reached: never a credential's value.

use tidings_model::{CredentialId, MessageId, State, Timestamp};

use crate::batch::TemplateId;

/// A free permit: with uses left, bound to no message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRow {
    /// Whose.
    pub recipient: String,
    /// The app it is for.
    pub app: String,
    /// Its source.
    pub source: String,
    /// The provider's scope; `None` for any.
    pub scope: Option<String>,
    /// Messages it still carries.
    pub uses: u32,
    /// When it ends; `None` never.
    pub expires_at: Option<Timestamp>,
}

/// A permit that a message holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundRow {
    /// The permit.
    pub credential: CredentialId,
    /// Its source.
    pub source: String,
    /// The message that holds it.
    pub message: MessageId,
    /// What the message says.
    pub template: TemplateId,
    /// Where it stands.
    pub state: State,
}

/// That a recipient of an app is told nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuppressedRow {
    /// The app.
    pub app: String,
    /// Why.
    pub reason: String,
    /// Until when; `None` for ever.
    pub until: Option<Timestamp>,
}

/// Everything the store knows that decides whether one recipient can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OfRecipient {
    /// Their free permits, by app and source, the soonest to end first.
    pub free: Vec<HeldRow>,
    /// Whether there are more of them than are listed.
    pub more: bool,
    /// Permits that messages on their way hold.
    pub bound: Vec<BoundRow>,
    /// How many of their messages wait for a permit, by template.
    pub waiting: Vec<(TemplateId, u64)>,
    /// Apps that tell them nothing.
    pub suppressed: Vec<SuppressedRow>,
}
