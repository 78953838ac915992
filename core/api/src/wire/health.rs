//! How the engine is.

use serde::{Deserialize, Serialize};

/// Whether the engine lives, or takes work, and what was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Health {
    /// Whether all is well.
    pub ok: bool,
    /// The program's version.
    pub version: String,
    /// Since when it runs.
    pub started_at: String,
    /// What was looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Check {
    /// `engine`, `disk`, `writer` or `reader`.
    pub name: String,
    /// Whether it is well.
    pub ok: bool,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}
