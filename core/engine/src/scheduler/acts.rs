//! What operators do to schedules. The scheduler's task carries it out between two decisions, so that no act meets a
//! decision half made; the act and its entry in the record are one transaction.

use tidings_model::limits::{BACKFILL_MAX, SKIPS_MAX};
use tidings_model::{RunId, Timestamp};
use tokio::sync::{mpsc, oneshot};

use super::agenda::{Agenda, Decisions};
use crate::acts::By;
use crate::refusal::{Class, Refusal};
use tidings_store::{AuditEntry, ScheduleChange};

/// Acts that wait for the scheduler before a caller has to.
const ASKS_MAX: usize = 64;

/// What somebody wants done to a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScheduleAct {
    /// It runs no more until it is resumed.
    Pause,
    /// It goes on, from now.
    Resume,
    /// Its next times are left out.
    Skip {
        /// How many.
        count: u32,
    },
    /// It runs now.
    Run,
    /// Its times of the past run that did not.
    Backfill {
        /// From this instant on.
        from: Timestamp,
        /// Up to this one.
        to: Timestamp,
    },
    /// No more of them.
    EndBackfill,
}

/// An act on its way to the scheduler.
pub(crate) struct Ask {
    pub(crate) schedule: String,
    pub(crate) act: ScheduleAct,
    pub(crate) by: By,
    /// The run that it began, if it did.
    pub(crate) reply: oneshot::Sender<Result<Option<RunId>, Refusal>>,
}

/// Where acts are handed in.
#[derive(Debug, Clone)]
pub(crate) struct ScheduleDesk {
    sender: mpsc::Sender<Ask>,
}

impl ScheduleDesk {
    pub(crate) fn new() -> (ScheduleDesk, mpsc::Receiver<Ask>) {
        let (sender, receiver) = mpsc::channel(ASKS_MAX);
        (ScheduleDesk { sender }, receiver)
    }

    pub(crate) async fn act(&self, schedule: &str, act: ScheduleAct, by: &By) -> Result<Option<RunId>, Refusal> {
        let (reply, answer) = oneshot::channel();
        let ask = Ask { schedule: schedule.to_owned(), act, by: by.clone(), reply };
        self.sender.send(ask).await.map_err(|_| Refusal::stopping())?;
        answer.await.unwrap_or_else(|_| Err(Refusal::stopping()))
    }
}

/// The nominal times of a backfill: those after the one instant and not after the other, as far as the schedule has passed
/// them itself.
///
/// # Errors
///
/// There are none, or more than one backfill takes.
pub(crate) fn backfill_range(
    agenda: &super::agenda::Look<'_>,
    from: Timestamp,
    to: Timestamp,
) -> Result<(Timestamp, Timestamp), Refusal> {
    let (after, until) = (Timestamp(from.0.saturating_sub(1)), to.min(agenda.cursor()));
    let config = agenda.config();
    let count = config.cron.count(config.timezone, after.0, until.0);
    check_backfill(count, from, to)?;
    Ok((after, until))
}

/// Whether one backfill takes so many nominal times.
pub(crate) fn check_backfill(count: u64, from: Timestamp, to: Timestamp) -> Result<(), Refusal> {
    match count {
        0 => {
            let detail =
                format!("the schedule has passed no nominal time from {from} to {to}: there is nothing to run");
            Err(Refusal::invalid("backfill-empty", detail))
        }
        1..=BACKFILL_MAX => Ok(()),
        count => {
            let detail = format!("{count} nominal times lie from {from} to {to}; one backfill takes {BACKFILL_MAX}");
            Err(Refusal::invalid("backfill-too-large", detail))
        }
    }
}

impl Agenda {
    /// What is to be written so that the act is done.
    pub(crate) fn act(&self, schedule: &str, act: ScheduleAct, by: &By, now: Timestamp) -> Result<Decisions, Refusal> {
        let (name, look) = self.look(schedule).ok_or_else(|| schedule_unknown(schedule))?;
        let mut decisions = Decisions::default();
        let who = by.who().to_owned();
        let (called, detail, change) = match act {
            ScheduleAct::Pause => {
                let change = ScheduleChange::Pause { at: now, by: who, note: by.note("paused") };
                ("schedule.pause", None, Some(change))
            }
            ScheduleAct::Resume => {
                // What passed until now passed while it was paused.
                decisions.firings.extend(look.passed(now));
                ("schedule.resume", None, Some(ScheduleChange::Resume))
            }
            ScheduleAct::Skip { count } => {
                check_skips(count)?;
                let change = ScheduleChange::Skip { count, by: who, note: by.note("skipped") };
                ("schedule.skip", Some(format!("the next {count}")), Some(change))
            }
            ScheduleAct::Run => {
                if let Some(run) = look.running().filter(|_| !look.may_overlap()) {
                    let detail = format!("{run} of `{name}` is still under way, and its runs do not overlap");
                    return Err(Refusal::new(Class::Conflict, "schedule-running", detail));
                }
                let at = beside_nominal_times(now);
                decisions.firings.push(look.run_at(at));
                ("schedule.run", Some(format!("for {at}")), None)
            }
            ScheduleAct::Backfill { from, to } => {
                if let Some(backfill) = look.backfill() {
                    let until = backfill.until;
                    let detail = format!("a backfill of `{name}` goes on until {until}; let it end, or stop it");
                    return Err(Refusal::new(Class::Conflict, "backfill-running", detail));
                }
                let (after, until) = backfill_range(&look, from, to)?;
                let change = ScheduleChange::Backfill { after, until, by: who, note: by.note("backfilled") };
                ("schedule.backfill", Some(format!("from {from} to {until}")), Some(change))
            }
            ScheduleAct::EndBackfill => ("schedule.backfill_end", None, Some(ScheduleChange::EndBackfill)),
        };
        decisions.changes.extend(change.map(|change| (name.clone(), change)));
        decisions.entry = Some(AuditEntry { detail, ..by.entry(called, name.as_str()) });
        Ok(decisions)
    }
}

fn check_skips(count: u32) -> Result<(), Refusal> {
    if count <= SKIPS_MAX {
        return Ok(());
    }
    let detail = format!("`count` is {count}; at most {SKIPS_MAX} times are left out at once: pause it instead");
    Err(Refusal::invalid("skips-too-many", detail))
}

/// This instant, or the next that is no whole second: nominal times are, and each has one run.
fn beside_nominal_times(now: Timestamp) -> Timestamp {
    if now.0.rem_euclid(1000) == 0 { Timestamp(now.0 + 1) } else { now }
}

pub(crate) fn schedule_unknown(name: &str) -> Refusal {
    Refusal::not_found("schedule-unknown", format!("config has no schedule `{}`", name.escape_debug()))
}
