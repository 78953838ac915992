//! Who can be reached, on what, until when.

use serde::{Deserialize, Serialize};

/// How one recipient can be reached now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Reachability {
    /// Who.
    pub recipient: String,
    /// The instant it is for.
    pub now: String,
    /// By template.
    pub items: Vec<TemplateReach>,
    /// Whether the recipient has more permits than were looked at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// How one recipient can be reached with one template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct TemplateReach {
    /// The template.
    pub template: String,
    /// Its channel.
    pub channel: String,
    /// The channel's app.
    pub app: String,
    /// Whether a message of it would go out now.
    pub reachable: bool,
    /// How many messages the recipient's free permits carry; absent where the channel needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sends: Option<u64>,
    /// When the last of them can no longer be used; absent for never, and where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The first of those permits, the soonest to end first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permits: Vec<Permit>,
    /// Messages of the template on their way that hold a permit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bound: Vec<String>,
    /// How many messages of the template wait for a permit of this recipient.
    pub waiting: u64,
    /// Why a message would not go out now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub obstacles: Vec<Obstacle>,
    /// When a source that gives permits by itself has another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<String>,
}

/// A free permit, without its value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Permit {
    /// Its source.
    pub source: String,
    /// Messages it carries.
    pub uses: u32,
    /// When it can no longer be used: `credential_margin` before its end. Absent for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// When it ends; absent for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Whether it is for this template alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub scoped: bool,
    /// Whether the recipient has it by itself, without anybody posting it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_itself: bool,
}

/// Why a message would not go out now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Obstacle {
    /// Stable: `no-permit`, `suppressed`, `channel-paused`, `channel-cooling`, `channel-halted`, `channel-parked`,
    /// `source-absent`.
    pub code: String,
    /// Why, for people.
    pub detail: String,
    /// When it is over by itself, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// How many people can be reached, if nobody sends and no permit arrives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Forecasts {
    /// The instant it is for: it may be some seconds ago, more on a large ledger.
    pub now: String,
    /// By template.
    pub items: Vec<Forecast>,
}

/// How many people can be reached with one template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Forecast {
    /// The template.
    pub template: String,
    /// Its channel.
    pub channel: String,
    /// The channel's app.
    pub app: String,
    /// Whether it needs a permit. Without one everybody can be reached, and there is nothing to count.
    pub needs_permit: bool,
    /// Sources that give everybody permits by themselves, beyond what is counted here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_itself: Vec<String>,
    /// People with a permit that can be used now.
    pub people: u64,
    /// People who can still be reached in a week.
    pub people_in_a_week: u64,
    /// People who have a permit without an end.
    pub people_without_end: u64,
    /// Messages that all those permits carry.
    pub sends: u64,
    /// What runs out on each of the next days; those on which nothing does are left out.
    pub days: Vec<ForecastDay>,
}

/// What runs out in the course of one day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct ForecastDay {
    /// When the day is over: a whole number of days after `now`.
    pub until: String,
    /// People who can still be reached then.
    pub people: u64,
    /// People who can no longer.
    pub people_lost: u64,
    /// Messages that could be sent before and can no longer.
    pub sends_lost: u64,
}
