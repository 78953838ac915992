//! What is decided of the nominal times that are due: pure, with the time passed in.

use std::time::Duration;

use chrono_tz::Tz;
use tidings_model::cron::{Cron, jitter};
use tidings_model::limits::VERDICT_ROWS_MAX;
use tidings_model::{ScheduleName, Timestamp};
use tidings_store::{Decided, FiringSpan, Verdict};

use crate::config::{Missed, Overlap, ScheduleConfig};

/// A run that catches up is late by at least so much: it waits for the run before it, whatever the overlap says.
const LATE_AFTER: Duration = Duration::from_secs(60);

/// A schedule and all that a decision about it needs to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Situation<'a> {
    pub(crate) name: &'a ScheduleName,
    pub(crate) config: &'a ScheduleConfig,
    /// The last nominal time that has a verdict.
    pub(crate) cursor: Timestamp,
    /// The first behind it.
    pub(crate) next: Option<Timestamp>,
    pub(crate) paused: bool,
    /// Times from the next one on that an operator has left out.
    pub(crate) skips: u32,
    /// A run of it is under way.
    pub(crate) running: bool,
    /// The run under way is an operator's: the schedule's own times wait for it.
    pub(crate) running_by_hand: bool,
    /// Since when none is under way: what waited until then is not late by it.
    pub(crate) free_at: Timestamp,
}

/// What to do about the nominal times behind the cursor, or about the oldest of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The oldest of a long outage.
    pub(crate) span: Option<FiringSpan>,
    /// A verdict for each of the others, in order.
    pub(crate) verdicts: Vec<Decided>,
    /// The one to run.
    pub(crate) run: Option<Timestamp>,
    /// The last one that has a verdict.
    pub(crate) cursor: Timestamp,
    /// How many of the times to skip are skipped.
    pub(crate) skipped: u32,
}

/// The nominal times that are due: the last of them, and how many lie before those.
struct Due {
    times: Vec<Timestamp>,
    older: u64,
}

impl<'a> Situation<'a> {
    /// One of which nothing is known but its definition.
    pub(crate) fn only_of(name: &'a ScheduleName, config: &'a ScheduleConfig) -> Situation<'a> {
        Situation {
            name,
            config,
            cursor: Timestamp(i64::MIN),
            next: None,
            paused: false,
            skips: 0,
            running: false,
            running_by_hand: false,
            free_at: Timestamp(i64::MIN),
        }
    }

    fn zone(&self) -> Tz {
        self.config.timezone
    }

    fn cron(&self) -> &Cron {
        &self.config.cron
    }

    /// The first nominal time behind that one.
    pub(crate) fn after(&self, at: Timestamp) -> Option<Timestamp> {
        self.cron().next_after(self.zone(), at.0).map(Timestamp)
    }

    /// When the nominal time fires: after its jitter.
    pub(crate) fn due_at(&self, nominal: Timestamp) -> Timestamp {
        let most = self.config.policy.jitter;
        if most.is_zero() {
            return nominal;
        }
        nominal.after(jitter(self.name.as_str(), nominal, self.after(nominal), most))
    }

    /// When something is to be decided next.
    pub(crate) fn wake_at(&self) -> Option<Timestamp> {
        self.next.map(|next| self.due_at(next))
    }

    /// Decides. `None` if nothing is due, or if the only thing to do is to wait for the last run to end. What one plan
    /// leaves, the next decides.
    pub(crate) fn plan(&self, now: Timestamp) -> Option<Plan> {
        let due = self.due(now)?;
        if self.paused {
            return Some(self.all(&due, due.times.len(), Verdict::Paused, now));
        }
        if self.skips > 0 {
            return Some(self.skip(&due, now));
        }
        if self.running && (self.running_by_hand || self.config.policy.overlap == Overlap::Queue) {
            return None;
        }
        let last = *due.times.last()?;
        let in_grace = |at: Timestamp| self.config.policy.grace.is_none_or(|grace| self.waited(at, now) <= grace);
        let too_late = due.times.partition_point(|at| !in_grace(*at));
        match self.config.policy.missed {
            Missed::All { most } => {
                let most = usize::try_from(most).unwrap_or(usize::MAX);
                let missed = too_late.max(due.times.len().saturating_sub(most));
                if missed > 0 {
                    Some(self.all(&due, missed, Verdict::Missed, now))
                } else {
                    self.catch_up(due.times[0], now)
                }
            }
            Missed::Once | Missed::Skip if !in_grace(last) => {
                Some(self.all(&due, due.times.len(), Verdict::Missed, now))
            }
            Missed::Skip if too_late > 0 => Some(self.all(&due, too_late, Verdict::Missed, now)),
            Missed::Once | Missed::Skip => Some(self.fire_last(&due, last, now)),
        }
    }

    /// What is due. However long the outage was, no more of it is looked at than may need a decision of its own.
    fn due(&self, now: Timestamp) -> Option<Due> {
        let next = self.next.filter(|next| *next <= now && self.due_at(*next) <= now)?;
        let is_due = |at: Timestamp| at <= now && self.due_at(at) <= now;
        if self.after(next).is_none_or(|second| !is_due(second)) {
            return Some(Due { times: vec![next], older: 0 });
        }
        let alone = match self.config.policy.missed {
            Missed::All { most } => usize::try_from(most).unwrap_or(usize::MAX).saturating_add(VERDICT_ROWS_MAX),
            Missed::Once | Missed::Skip => VERDICT_ROWS_MAX,
        };
        // One more than that: it ends the span of those before. And one whose jitter is not over.
        let last = self.cron().last(self.zone(), self.cursor.0, now.0, alone + 2);
        let mut times: Vec<Timestamp> = last.into_iter().map(Timestamp).collect();
        if times.last().is_some_and(|last| !is_due(*last)) {
            times.pop();
        }
        let count = self.cron().count(self.zone(), self.cursor.0, times.last()?.0);
        Some(Due { older: count.saturating_sub(times.len() as u64), times })
    }

    /// How late a time is that only now can run: since it was due, and since the run before it ended.
    fn waited(&self, at: Timestamp, now: Timestamp) -> Duration {
        now.since(self.due_at(at).max(self.free_at))
    }

    fn decided(&self, at: Timestamp, verdict: Verdict, now: Timestamp) -> Decided {
        Decided { at, verdict, late: now.since(self.due_at(at)) }
    }

    /// One verdict for the first `count` of what is due, and for all before them.
    fn all(&self, due: &Due, count: usize, verdict: Verdict, now: Timestamp) -> Plan {
        let times = &due.times[..count];
        let cursor = *times.last().expect("only called with something due");
        let in_span = times.len().saturating_sub(VERDICT_ROWS_MAX).max(usize::from(due.older > 0));
        let (spanned, alone) = times.split_at(in_span);
        let span = spanned.last().map(|last| FiringSpan {
            first: self.next.expect("only called with something due"),
            last: *last,
            count: due.older + spanned.len() as u64,
            verdict,
        });
        let verdicts = alone.iter().map(|at| self.decided(*at, verdict, now)).collect();
        Plan { span, verdicts, run: None, cursor, skipped: 0 }
    }

    /// The first of what is due, as many as an operator said.
    fn skip(&self, due: &Due, now: Timestamp) -> Plan {
        let all = due.older + due.times.len() as u64;
        let count = usize::try_from(u64::from(self.skips).min(all)).unwrap_or(usize::MAX).min(VERDICT_ROWS_MAX);
        let times: Vec<Timestamp> = std::iter::successors(self.next, |at| self.after(*at)).take(count).collect();
        let verdicts = times.iter().map(|at| self.decided(*at, Verdict::Skipped, now)).collect();
        Plan {
            span: None,
            verdicts,
            run: None,
            cursor: *times.last().expect("something is due"),
            skipped: u32::try_from(count).unwrap_or(u32::MAX),
        }
    }

    /// Each in turn, the oldest first. One that is late waits for the run before it, whatever the overlap says: to skip it
    /// would not be to catch up.
    fn catch_up(&self, at: Timestamp, now: Timestamp) -> Option<Plan> {
        let is_late = now.since(self.due_at(at)) > LATE_AFTER;
        if self.running && self.config.policy.overlap == Overlap::Skip && is_late {
            return None;
        }
        Some(self.single(at, now))
    }

    fn single(&self, at: Timestamp, now: Timestamp) -> Plan {
        let (verdict, run) = match self.config.policy.overlap {
            Overlap::Skip if self.running => (Verdict::SkippedOverlap, None),
            _ => (Verdict::Fired, Some(at)),
        };
        Plan { span: None, verdicts: vec![self.decided(at, verdict, now)], run, cursor: at, skipped: 0 }
    }

    /// The last runs for all of them, or none does.
    fn fire_last(&self, due: &Due, last: Timestamp, now: Timestamp) -> Plan {
        let plan = self.single(last, now);
        if plan.run.is_none() {
            return self.all(due, due.times.len(), Verdict::SkippedOverlap, now);
        }
        if due.times.len() == 1 {
            return plan;
        }
        let mut before = self.all(due, due.times.len() - 1, Verdict::Coalesced, now);
        before.verdicts.extend(plan.verdicts);
        Plan { span: before.span, verdicts: before.verdicts, ..plan }
    }
}

/// The times behind the cursor of a line that config no longer has: nobody was there for them, and nobody will be.
pub(crate) fn left_behind(
    (cron, zone): (&Cron, Tz),
    verdict: Verdict,
    cursor: Timestamp,
    now: Timestamp,
) -> (Option<FiringSpan>, Vec<Decided>) {
    let mut last = cron.last(zone, cursor.0, now.0, VERDICT_ROWS_MAX + 1);
    let count = cron.count(zone, cursor.0, now.0);
    let (Some(first), true) = (cron.next_after(zone, cursor.0).map(Timestamp), !last.is_empty()) else {
        return (None, Vec::new());
    };
    let in_span = count.saturating_sub(VERDICT_ROWS_MAX as u64);
    let span = (in_span > 0).then(|| {
        let last = Timestamp(last.remove(0));
        FiringSpan { first, last, count: in_span, verdict }
    });
    let alone = last.into_iter().map(Timestamp).map(|at| Decided { at, verdict, late: now.since(at) });
    (span, alone.collect())
}
