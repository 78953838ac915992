//! The record of changes.

use serde::{Deserialize, Serialize};

/// The header by which a client on the local socket says who sits at the terminal. Nobody proves it; it is written behind
/// what is proven, as in `local (alice)`.
pub const USER_HEADER: &str = "tidings-user";

/// A change that somebody made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct AuditEntry {
    /// Its id: `aud_7`.
    pub id: String,
    /// When.
    pub at: String,
    /// Who: a key's name, or `local` with who said to sit there: `local (alice)`.
    pub who: String,
    /// What was done, as in `channel.pause`.
    pub act: String,
    /// To what: a message, a channel, an app, a file; `messages` for many.
    pub subject: String,
    /// Why, in the words of whoever did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What else there is to say: the filter of a bulk act, say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// How many messages it moved, of an act on messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<i64>,
}
