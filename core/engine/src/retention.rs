//! When which slice of what is old is removed: one table after the other, a slice at a time, then a rest.

use std::time::Duration;

use tidings_model::Timestamp;
use tidings_model::limits::RUN_LIFE;
use tidings_store::{Sweep, Swept};

/// Between a slice that removed something and the next: a hundred thousand rows a second at most, with time for others.
const BETWEEN_FULL: Duration = Duration::from_millis(5);
/// Between a slice that removed nothing and the next.
const BETWEEN_EMPTY: Duration = Duration::from_millis(50);
/// After all tables were walked.
const REST: Duration = Duration::from_secs(300);

/// How long messages stay that have ended, and the record of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Sent, delivered, expired, cancelled.
    pub done: Duration,
    /// Failed, unknown.
    pub failed: Duration,
    /// The record of changes.
    pub audit: Duration,
}

/// The walk through the tables.
#[derive(Debug)]
pub(crate) struct Retention {
    keep: Keep,
    table: Table,
    /// Where the walk through the present table goes on; `None` at its beginning.
    next: Option<Sweep>,
    next_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Table {
    Messages,
    Keys,
    Runs,
    Audit,
}

impl Retention {
    pub(crate) fn new(keep: Keep, now: Timestamp) -> Retention {
        Retention { keep, table: Table::Messages, next: None, next_at: now }
    }

    /// From now on messages stay so long.
    pub(crate) fn keep(&mut self, keep: Keep) {
        self.keep = keep;
    }

    /// When the next slice is to be removed.
    pub(crate) fn next_at(&self) -> Timestamp {
        self.next_at
    }

    /// The slice for this transaction, if one is due. If the transaction fails, the slice comes again.
    pub(crate) fn due(&self, now: Timestamp) -> Option<Sweep> {
        // A clock that was set back must not make it wait for the time it was set back by.
        let is_due = self.next_at <= now || self.next_at > now.after(REST);
        is_due.then(|| self.next.clone().unwrap_or_else(|| self.beginning(now)))
    }

    fn beginning(&self, now: Timestamp) -> Sweep {
        match self.table {
            Table::Messages => Sweep::Messages {
                after: 0,
                done_before: now.before(self.keep.done),
                failed_before: now.before(self.keep.failed),
            },
            Table::Keys => Sweep::Keys { after: String::new() },
            Table::Runs => Sweep::Runs { after: 0, before: now.before(RUN_LIFE) },
            Table::Audit => Sweep::Audit { after: 0, before: now.before(self.keep.audit) },
        }
    }

    /// Takes note of what the slice did.
    pub(crate) fn swept(&mut self, swept: &Swept, now: Timestamp) {
        self.next = swept.next.clone();
        let mut pause = if swept.removed > 0 { BETWEEN_FULL } else { BETWEEN_EMPTY };
        if self.next.is_none() {
            (self.table, pause) = match self.table {
                Table::Messages => (Table::Keys, BETWEEN_EMPTY),
                Table::Keys => (Table::Runs, BETWEEN_EMPTY),
                Table::Runs => (Table::Audit, BETWEEN_EMPTY),
                Table::Audit => (Table::Messages, REST),
            };
        }
        self.next_at = now.after(pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);
    const KEEP: Keep =
        Keep { done: Duration::from_secs(60), failed: Duration::from_secs(600), audit: Duration::from_secs(6000) };

    fn nothing() -> Swept {
        Swept { removed: 0, unused: 0, next: None }
    }

    #[test]
    fn every_table_has_its_turn_and_then_there_is_a_rest() {
        let mut retention = Retention::new(KEEP, NOW);
        let mut now = NOW;
        let mut turns = Vec::new();
        for _ in 0..4 {
            turns.push(retention.due(now).expect("a slice is due"));
            retention.swept(&nothing(), now);
            assert_eq!(retention.due(now), None, "not twice at once");
            now = retention.next_at();
        }
        let messages =
            Sweep::Messages { after: 0, done_before: NOW.before(KEEP.done), failed_before: NOW.before(KEEP.failed) };
        assert_eq!(turns[0], messages);
        assert_eq!(turns[1], Sweep::Keys { after: String::new() });
        assert!(matches!(turns[2], Sweep::Runs { after: 0, .. }));
        // Its turn comes a little later than the others'.
        assert!(matches!(turns[3], Sweep::Audit { after: 0, before } if before >= NOW.before(KEEP.audit)));
        assert!(now >= NOW.after(REST));
        assert!(matches!(retention.due(now), Some(Sweep::Messages { after: 0, .. })));
    }

    #[test]
    fn a_walk_goes_on_where_the_slice_before_ended() {
        let mut retention = Retention::new(KEEP, NOW);
        let next = Sweep::Messages { after: 500, done_before: NOW, failed_before: NOW };
        retention.swept(&Swept { removed: 500, unused: 0, next: Some(next.clone()) }, NOW);
        assert_eq!(retention.next_at(), NOW.after(BETWEEN_FULL));
        assert_eq!(retention.due(retention.next_at()), Some(next));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_stop_it() {
        let mut retention = Retention::new(KEEP, NOW);
        retention.swept(&nothing(), NOW);
        assert!(retention.due(NOW.before(Duration::from_secs(86_400))).is_some());
    }
}
