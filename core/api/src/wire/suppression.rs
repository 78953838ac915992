//! Recipients who are told nothing.

use serde::{Deserialize, Serialize};

/// A recipient who is to be told nothing.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SuppressionRequest {
    /// The app.
    pub app: String,
    /// Who.
    pub recipient: String,
    /// Why: it stands in the list and in the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Until when: RFC 3339, or `+30d` from now. For good if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// A recipient who is told nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Suppression {
    /// The app.
    pub app: String,
    /// Who.
    pub recipient: String,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub who: String,
    /// Since when.
    pub created_at: String,
    /// Until when; absent for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// A recipient who is told nothing from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct SuppressionReply {
    /// As it stands in the list.
    pub suppression: Suppression,
    /// Messages that were not on their way yet, and are withdrawn.
    pub cancelled: u64,
}
