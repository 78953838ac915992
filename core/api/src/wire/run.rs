//! Runs of schedules: how far they are, what they say, and whom a broadcast would reach.

use serde::{Deserialize, Serialize};

use super::Obstacle;

/// A firing of a schedule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Run {
    /// Its id: `run_3`.
    pub id: String,
    /// Its schedule.
    pub schedule: String,
    /// The time it was for.
    pub nominal_at: String,
    /// What it does.
    pub job: String,
    /// `running`, `done`, `failed`, `cancelled`, or `interrupted`: the engine stopped in the middle of what cannot go on.
    pub state: String,
    /// When it began.
    pub started_at: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// It fails if it is not at its end by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<String>,
    /// How often it went on after the engine had stopped in the middle of it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub resumed: i64,
    /// Parts done: rows gone through, of a broadcast.
    pub done: i64,
    /// Parts in all, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// Rows that became messages.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub accepted: i64,
    /// Rows whose recipient had been told by an earlier row.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub duplicates: i64,
    /// Rows whose recipient is told nothing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub suppressed: i64,
    /// Rows that cannot be sent.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refused: i64,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
}

/// A run with what it says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct RunDetail {
    /// The run.
    #[serde(flatten)]
    pub run: Run,
    /// Who could be reached when it began, of a broadcast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preflight: Option<Preflight>,
    /// Lines of its log, in order.
    pub log: Vec<RunLine>,
    /// Lines of its log that were written, with those that are not kept.
    #[serde(default)]
    pub log_lines: i64,
    /// The cursor of the lines after these; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A line of a run's log.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct RunLine {
    /// Its number, from 1.
    pub line: i64,
    /// When it was written.
    pub at: String,
    /// `info`, or `warn` for what wants a look.
    pub level: String,
    /// What it says. Recipients are masked.
    pub text: String,
}

/// Whom a broadcast would reach. A recipient who is there twice is counted twice.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Preflight {
    /// The instant it is for.
    pub now: String,
    /// Rows of the audience.
    pub rows: u64,
    /// These are the first rows alone: a server's pages are asked for once, and those behind them were not looked at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first_only: bool,
    /// Rows whose recipient can be told now.
    pub reachable: u64,
    /// How many of them still can in a day, if nobody sends and nothing arrives.
    pub in_a_day: u64,
    /// And in a week.
    pub in_a_week: u64,
    /// When the first of them no longer can; absent if all can for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The others, by why.
    #[serde(default)]
    pub unreachable: Vec<Unreachable>,
    /// What keeps everybody from being told now.
    #[serde(default)]
    pub obstacles: Vec<Obstacle>,
    /// Sources that give permits by themselves: some of those without one will get it when they are sent to.
    #[serde(default)]
    pub by_itself: Vec<String>,
}

/// Rows whose recipient cannot be told, for one reason.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Unreachable {
    /// Stable: `row-broken`, `suppressed`, `no-permit`, or that of the problem that sending it would be answered with.
    pub code: String,
    /// How many.
    pub count: u64,
    /// What is wrong with the first of them. Recipients are masked.
    pub example: String,
}

fn is_zero(count: &i64) -> bool {
    *count == 0
}
