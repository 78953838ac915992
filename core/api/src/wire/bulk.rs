//! Acts on many messages: cancel, hold, release, retry.

use serde::{Deserialize, Serialize};

use super::Message;

/// An act on many messages, or its plan.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BulkRequest {
    /// Which.
    pub filter: BulkFilter,
    /// How fast a retry goes, as in `50/s`: each message gets a time of its own. That is the rate if none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// Why, for the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Only say what would be done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub plan: bool,
    /// What the plan, or the call before, said to go on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Which messages an act is for: those that are all of this. It says something at least.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BulkFilter {
    /// In this state; without one, in any that allows the act. A retry names it: `unknown` ones may have arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Of this channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Of this template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// For this recipient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// For this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Made by this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Accepted after this: RFC 3339, or how long ago, as in `2h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newer_than: Option<String>,
    /// Accepted before this: RFC 3339, or how long ago, as in `2h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_than: Option<String>,
}

/// What an act on many messages would do: the answer to a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct BulkPlan {
    /// How many messages.
    pub count: u64,
    /// What becomes of them, in a sentence.
    pub effect: String,
    /// They by state and channel.
    pub groups: Vec<BulkGroup>,
    /// Some of them, the newest.
    pub sample: Vec<Message>,
    /// How fast they go; of a retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// Seconds until the last of them is due; of a retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub takes_s: Option<u64>,
    /// Whether they may have arrived, and arrive twice.
    pub may_arrive_twice: bool,
    /// The cursor with which the same request is for these messages and no others; absent if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Messages of one state and channel that an act is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct BulkGroup {
    /// Their state.
    pub state: String,
    /// Their channel.
    pub channel: String,
    /// How many.
    pub count: u64,
}

/// What an act on many messages did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct BulkReply {
    /// Messages that it moved.
    pub moved: u64,
    /// Messages that somebody else moved meanwhile.
    pub passed_over: u64,
    /// Messages that wait for another call with the cursor.
    pub left: u64,
    /// When the last of the moved ones is due; of a retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_due_at: Option<String>,
    /// The cursor to go on with; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The answer to an act on many messages: what would be done, or what was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum BulkAnswer {
    /// To a plan.
    Plan(BulkPlan),
    /// To an act.
    Done(BulkReply),
}
