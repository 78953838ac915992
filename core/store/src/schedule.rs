//! Schedules: what is written of them when their times come and when operators act on them, and what is read.

use std::time::Duration;

use tidings_model::{RunId, ScheduleName, Timestamp};

use crate::run::RunRow;

/// What was decided of a nominal time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It ran.
    Fired,
    /// A later one of the same outage ran in its place.
    Coalesced,
    /// The run before was still under way.
    SkippedOverlap,
    /// An operator had it left out.
    Skipped,
    /// It was too late when somebody was there again.
    Missed,
    /// The schedule was paused.
    Paused,
    /// An operator had it run long after its time.
    Backfilled,
    /// No nominal time of the schedule at all: an operator had it run then.
    ByHand,
}

impl Verdict {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Fired => "fired",
            Verdict::Coalesced => "coalesced",
            Verdict::SkippedOverlap => "skipped_overlap",
            Verdict::Skipped => "skipped",
            Verdict::Missed => "missed",
            Verdict::Paused => "paused",
            Verdict::Backfilled => "backfilled",
            Verdict::ByHand => "by_hand",
        }
    }

    /// An operator asked for it: it says more than what was decided of that time before.
    pub(crate) fn is_asked(self) -> bool {
        matches!(self, Verdict::Backfilled | Verdict::ByHand)
    }
}

/// A nominal time and what was decided of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    /// The nominal time.
    pub at: Timestamp,
    /// What was decided.
    pub verdict: Verdict,
    /// How long after it was due: after the nominal time and its jitter.
    pub late: Duration,
}

/// Nominal times in a row of which one thing was decided, and none ran: the oldest of a long outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FiringSpan {
    /// The first of them.
    pub first: Timestamp,
    /// The last.
    pub last: Timestamp,
    /// How many.
    pub count: u64,
    /// What was decided.
    pub verdict: Verdict,
}

/// A schedule that moved: verdicts for nominal times, and perhaps a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    /// The schedule.
    pub schedule: ScheduleName,
    /// Its cron line and zone, so that a change of them is noticed at the next start.
    pub definition: String,
    /// The oldest nominal times of a long outage; those of `verdicts` come behind them.
    pub span: Option<FiringSpan>,
    /// What was decided of each nominal time, in order.
    pub verdicts: Vec<Decided>,
    /// The run to begin: its nominal time, which is one of `verdicts`, and its job in words.
    pub run: Option<(Timestamp, String)>,
    /// The last nominal time that has a verdict.
    pub cursor_at: Timestamp,
    /// The next one.
    pub next_at: Option<Timestamp>,
    /// How many of the times to skip were skipped.
    pub skipped: u32,
    /// How far a backfill is: the last nominal time that it passed.
    pub backfill_at: Option<Timestamp>,
}

/// What became of a firing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fired {
    /// Nothing was to run.
    Nothing,
    /// This run began.
    Run(RunId),
    /// This nominal time had its verdict before, and the run it began if that goes on: a transaction of which nobody could
    /// say whether it landed had landed.
    Before(Option<RunId>),
}

/// What an operator does to a schedule, or config. One that never moved is none that it can be done to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScheduleChange {
    /// It runs no more until it is resumed.
    Pause {
        /// Since when.
        at: Timestamp,
        /// Who says so.
        by: String,
        /// Why.
        note: String,
    },
    /// It goes on.
    Resume,
    /// Its next times are left out: so many, whatever was said before.
    Skip {
        /// How many.
        count: u32,
        /// Who says so.
        by: String,
        /// Why.
        note: String,
    },
    /// Nominal times of the past are run that have no run.
    Backfill {
        /// After this one.
        after: Timestamp,
        /// Up to this one, and with it.
        until: Timestamp,
        /// Who says so.
        by: String,
        /// Why.
        note: String,
    },
    /// No more of them.
    EndBackfill,
    /// Config has it no more.
    Remove {
        /// Since when.
        at: Timestamp,
    },
}

/// A schedule, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleRow {
    /// Its name.
    pub name: String,
    /// Its cron line and zone when it last moved; in stores of earlier programs its job stands behind them.
    pub definition: String,
    /// The last nominal time that has a verdict.
    pub cursor_at: Timestamp,
    /// The next one.
    pub next_at: Option<Timestamp>,
    /// An operator's pause.
    pub paused: Option<Noted>,
    /// Its next times that are left out.
    pub skips: u32,
    /// Who has them left out, and why.
    pub skip: Option<Said>,
    /// A backfill that goes on.
    pub backfill: Option<BackfillRow>,
    /// Since when config has it no more.
    pub removed_at: Option<Timestamp>,
    /// Its last run.
    pub last_run: Option<RunRow>,
}

/// Who, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Who; empty where an earlier program wrote it.
    pub by: String,
    /// Why.
    pub note: String,
}

/// Since when, who, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// Since when.
    pub at: Timestamp,
    /// Who and why.
    pub said: Said,
}

/// A backfill that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackfillRow {
    /// The last nominal time that it passed, or what it begins after.
    pub at: Timestamp,
    /// Up to this one, and with it.
    pub until: Timestamp,
    /// Who and why.
    pub said: Said,
}

/// What was decided of a nominal time, or of several in a row, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FiringRow {
    /// The schedule.
    pub schedule: String,
    /// The time; the last of several.
    pub nominal_at: Timestamp,
    /// The first of several; the same as the last of one.
    pub first_at: Timestamp,
    /// How many nominal times this stands for.
    pub count: i64,
    /// The verdict; `failed` where its run did.
    pub verdict: String,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// How long after it was due, in milliseconds, where that is known.
    pub late_ms: Option<i64>,
    /// The run that began.
    pub run: Option<RunId>,
}
