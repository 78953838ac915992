//! Runs: what they write of themselves, and what is read of them.

use std::ops::Range;

use tidings_model::{RunId, RunState, Timestamp};

/// What a run says of itself.
#[derive(Debug, Clone)]
pub struct RunNote {
    /// The run.
    pub run: RunId,
    /// Its schedule, for whoever is told.
    pub schedule: String,
    /// It begins, or goes on after the engine had stopped.
    pub begin: Option<RunBegin>,
    /// Parts done, if that is to be written.
    pub done: Option<u64>,
    /// Parts in all, where that is known.
    pub total: Option<u64>,
    /// Who could be reached when it began: a JSON object.
    pub preflight: Option<String>,
    /// Lines of its log.
    pub log: Vec<RunLine>,
    /// Where it stands now, if it ended, and what came of it.
    pub ended: Option<(RunState, String)>,
}

impl RunNote {
    /// One that says nothing yet.
    pub fn of(run: RunId, schedule: impl Into<String>) -> RunNote {
        RunNote {
            run,
            schedule: schedule.into(),
            begin: None,
            done: None,
            total: None,
            preflight: None,
            log: Vec::new(),
            ended: None,
        }
    }

    /// One that says how it ended.
    pub fn end(run: RunId, schedule: impl Into<String>, state: RunState, result: impl Into<String>) -> RunNote {
        RunNote { ended: Some((state, result.into())), ..RunNote::of(run, schedule) }
    }
}

/// The beginning of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunBegin {
    /// It fails if it is not at its end by then.
    pub deadline_at: Timestamp,
    /// Whether it had begun before.
    pub resumed: bool,
}

/// A step of a broadcast: some rows of its audience, accepted in one transaction with the place it goes on at.
#[derive(Debug, Clone)]
pub struct RunStep {
    /// The run.
    pub run: RunId,
    /// Its schedule, for whoever is told.
    pub schedule: String,
    /// Its number, from 1. A step that is on disk is not counted again.
    pub number: i64,
    /// Where the next one begins, as the engine reads it.
    pub place: String,
    /// The places of its messages in [`Batch::messages`](crate::Batch::messages).
    pub messages: Range<usize>,
    /// Rows of it that are no messages.
    pub refused: u64,
    /// Rows gone through with this step, whatever became of them.
    pub done: u64,
    /// Rows in all, where that is known.
    pub total: Option<u64>,
    /// Lines of the run's log.
    pub log: Vec<RunLine>,
    /// Whether somebody is told how far it is.
    pub tell: bool,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stepped {
    /// It is on disk.
    Done,
    /// It had been before.
    Before,
    /// The run has ended: nothing of the step is on disk.
    Over,
}

/// A line of a run's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunLine {
    /// How much it matters.
    pub level: RunLevel,
    /// What it says: no recipient, no secret.
    pub text: String,
}

/// How much a line of a run's log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunLevel {
    /// The story.
    Info,
    /// It wants a look.
    Warn,
}

impl RunLevel {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            RunLevel::Info => "info",
            RunLevel::Warn => "warn",
        }
    }
}

/// Which runs.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Of this schedule.
    pub schedule: Option<String>,
    /// Standing there.
    pub state: Option<RunState>,
    /// Older than this one: a cursor.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// Who works on a run, where several engines share a store. In a file it is always this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunOwner {
    /// This engine.
    This,
    /// Another that is there.
    Another,
    /// One that is gone: whoever takes the run on has it.
    Gone,
}

/// A run, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    /// The run.
    pub id: RunId,
    /// Its schedule.
    pub schedule: String,
    /// The time it was for.
    pub nominal_at: Timestamp,
    /// What it does.
    pub job: String,
    /// Where it stands.
    pub state: RunState,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// It fails if it is not at its end by then.
    pub deadline_at: Option<Timestamp>,
    /// How often it went on after the engine had stopped in the middle of it.
    pub resumed: i64,
    /// Who works on it: told of those that are unfinished.
    pub owner: RunOwner,
    /// Parts done.
    pub done: i64,
    /// Parts in all.
    pub total: Option<i64>,
    /// Rows that became messages.
    pub accepted: i64,
    /// Rows whose recipient had been told by an earlier row.
    pub duplicates: i64,
    /// Rows whose recipient is told nothing.
    pub suppressed: i64,
    /// Rows that cannot be sent.
    pub refused: i64,
    /// Who could be reached when it began: a JSON object.
    pub preflight: Option<String>,
    /// What came of it.
    pub result: Option<String>,
    /// Lines of its log that were written, with those that were left out.
    pub log_lines: i64,
    /// Steps of it that are on disk; below zero if an earlier program began it, which kept no place.
    pub step: i64,
    /// Where it goes on.
    pub place: Option<String>,
}

/// A line of a run's log, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunLogRow {
    /// Its number, from 1.
    pub line: i64,
    /// When it was written.
    pub at: Timestamp,
    /// How much it matters.
    pub level: RunLevel,
    /// What it says.
    pub text: String,
}
