//! Schedules, their nominal times, and what operators do to them.

use serde::{Deserialize, Serialize};

use super::Run;

/// A schedule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// Its cron line.
    pub cron: String,
    /// The cron line in words.
    #[serde(default)]
    pub words: Words,
    /// Its time zone.
    pub timezone: String,
    /// What it does; empty once config has it no more.
    pub job: String,
    /// `active`, `paused`, `ahead` (its times up to some instant ahead have their verdicts: the clock was set back) or
    /// `removed` (config has it no more).
    #[serde(default)]
    pub state: String,
    /// What it does about times that are late and runs that overlap.
    #[serde(default)]
    pub policy: SchedulePolicy,
    /// Its next nominal time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<String>,
    /// Its next nominal times, where they were asked for. A list of more than 200 schedules has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<NextTime>,
    /// Since when it is paused, who did it, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Paused>,
    /// How many of its next times are left out.
    #[serde(default)]
    pub skips: u32,
    /// Who has them left out, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip: Option<Said>,
    /// Times of the past that are being run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backfill: Option<Backfill>,
    /// Since when config has it no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_at: Option<String>,
    /// Its last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<Run>,
    /// Its last verdicts, newest first, where they were asked for. A list of more than 200 schedules has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Firing>,
}

/// A sentence, or a part of one, in two languages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Words {
    /// English.
    pub en: String,
    /// Chinese.
    pub zh: String,
}

/// What a schedule does about times that are late and runs that overlap.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct SchedulePolicy {
    /// `once`, `skip` or `all`.
    pub missed: String,
    /// How many are run after all at most, of `all`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed_max: Option<u32>,
    /// How late a time may be to run at all, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_s: Option<u64>,
    /// `skip`, `queue` or `allow`.
    pub overlap: String,
    /// Within how many milliseconds after its time each one fires.
    #[serde(default)]
    pub jitter_ms: u64,
}

/// A nominal time to come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct NextTime {
    /// The nominal time.
    pub at: String,
    /// When it fires: after its jitter.
    pub fires_at: String,
    /// An operator has it left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skipped: bool,
}

/// Who, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Said {
    /// Who: a key's name, or `local`.
    pub by: String,
    /// Why.
    pub why: String,
}

/// A pause.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Paused {
    /// Since when.
    pub at: String,
    /// Who: a key's name, or `local`.
    pub by: String,
    /// Why.
    pub why: String,
}

/// Times of the past that are being run, one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Backfill {
    /// The last nominal time that it passed.
    pub at: String,
    /// Up to this time, and with it.
    pub until: String,
    /// Who: a key's name, or `local`.
    pub by: String,
    /// Why.
    pub why: String,
}

/// What was decided of a nominal time, or of several in a row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Firing {
    /// The nominal time; the last of several.
    pub nominal_at: String,
    /// The first of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_at: Option<String>,
    /// How many nominal times this stands for: more than one of the oldest of a long outage.
    pub count: i64,
    /// `fired`, `failed` (it fired, and its run failed), `coalesced` (a later one ran in its place), `skipped_overlap` (the
    /// run before went on), `skipped` (an operator), `missed`, `paused`, `backfilled` (an operator had it run later),
    /// `by_hand` (no time of its cron line: an operator had it run then).
    pub verdict: String,
    /// When it was decided.
    pub decided_at: String,
    /// How long after it was due, in milliseconds, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_ms: Option<i64>,
    /// The run that began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

/// Which times to leave out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct SkipRequest {
    /// How many of the next ones, whatever was said before; 0 for none.
    #[serde(default = "one")]
    pub count: u32,
    /// Why, for the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

fn one() -> u32 {
    1
}

/// Which times of the past to run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct BackfillRequest {
    /// From this time on: RFC 3339, or how long ago, as in `2h`.
    pub from: String,
    /// Up to this time, and with it; up to now if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Only say what that would be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub plan: bool,
    /// Why, for the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a backfill is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct BackfillReply {
    /// It was only planned.
    pub plan: bool,
    /// Nominal times in the range.
    pub times: u64,
    /// How many of them had run, and do not run again.
    pub ran: u64,
    /// The first and the last of them, in order.
    pub sample: Vec<String>,
}

/// A run that an operator began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct RunReply {
    /// The run.
    pub run: String,
}
