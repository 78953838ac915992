//! What is said of a store that does not answer, or has no room: one line when it begins, one a minute at most while it goes
//! on, one when it is over. A line for each refused call would bury every other.
//!
//! When something is said is decided by [`Outage`], to which time is passed; [`StoreWatch`] says it.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tidings_store::StoreError;

use crate::refusal::Refusal;

/// Between two lines of the same outage, and between two that begin right behind each other.
const REMIND: Duration = Duration::from_secs(60);

/// How long the store must have served without a refusal for an outage to be over: where a disk is full, what was set aside
/// for outcomes takes a write now and then.
const CALM: Duration = Duration::from_secs(3);

/// How long the store must have been there for its next outage to be news.
const SETTLED: Duration = Duration::from_secs(10);

/// What is to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// The store is away. So many calls were refused in outages that nobody was told of, since the last line.
    Begins { refused: u64 },
    /// It has been away so long; so many calls were refused since the last line.
    GoesOn { lasted: Duration, refused: u64 },
    /// It was away for so long, and so many calls were refused.
    Ends { lasted: Duration, refused: u64 },
}

/// Whether the store is away, and what was said of it.
#[derive(Debug, Default)]
struct Outage {
    since: Option<Instant>,
    /// Since when it serves, as far as anybody knows, and the outage may be over.
    serves_since: Option<Instant>,
    /// Of this one something was said.
    is_told: bool,
    /// When the last line was due that says that it is away.
    told_at: Option<Instant>,
    ended_at: Option<Instant>,
    /// Calls refused in this outage, and since the last line.
    refused: u64,
    untold: u64,
}

impl Outage {
    /// A call was answered with no.
    fn refused(&mut self) {
        // After its end there are still some that learn of it.
        if self.since.is_some() {
            self.refused += 1;
            self.untold += 1;
        }
    }

    /// The store was asked and is away.
    fn away(&mut self, now: Instant) -> Option<Line> {
        let begins = self.since.is_none();
        let since = *self.since.get_or_insert(now);
        self.serves_since = None;
        if begins {
            (self.is_told, self.refused) = (false, 0);
        }
        let is_news = begins && self.ended_at.is_some_and(|at| now.duration_since(at) >= SETTLED);
        if !is_news && self.told_at.is_some_and(|at| now.duration_since(at) < REMIND) {
            return None;
        }
        let refused = std::mem::take(&mut self.untold);
        let was_told = std::mem::replace(&mut self.is_told, true);
        self.told_at = Some(now);
        Some(match was_told {
            true => Line::GoesOn { lasted: now.duration_since(since), refused },
            false => Line::Begins { refused },
        })
    }

    /// The store did what it was asked.
    fn there(&mut self, now: Instant) {
        if self.since.is_some() {
            self.serves_since.get_or_insert(now);
        }
    }

    /// Time has passed.
    fn passes(&mut self, now: Instant) -> Option<Line> {
        let (since, end) = (self.since?, self.serves_since?);
        if now.duration_since(end) < CALM {
            return None;
        }
        (self.since, self.serves_since, self.ended_at) = (None, None, Some(end));
        if !std::mem::take(&mut self.is_told) {
            return None;
        }
        self.untold = 0;
        Some(Line::Ends { lasted: end.duration_since(since), refused: self.refused })
    }
}

/// Says of the store that it is away, and that it is back.
#[derive(Debug, Default)]
pub(crate) struct StoreWatch {
    outage: Mutex<Outage>,
}

impl StoreWatch {
    /// The store did not do something. What is no outage is a fault of somebody's, and each has its line.
    pub(crate) fn failed(&self, doing: &str, error: &StoreError) {
        let problem = Refusal::store(error);
        if !(error.is_away() || error.is_full()) {
            tracing::error!("{doing}: {problem}");
            return;
        }
        let line = self.look().away(Instant::now());
        match line {
            None | Some(Line::Ends { .. }) => tracing::debug!("{doing}: {problem}"),
            Some(Line::Begins { refused: 0 }) => tracing::error!(
                "the store does not serve ({doing}: {problem}); until it does calls are refused, outcomes are kept and \
                 nothing new is sent"
            ),
            Some(Line::Begins { refused }) => tracing::error!(
                refused,
                "the store does not serve, as some times in the last minute ({doing}: {problem}); {refused} calls were \
                 refused since the last line"
            ),
            Some(Line::GoesOn { lasted, refused }) => tracing::error!(
                refused,
                "the store has not served for {} s ({doing}: {problem}); {refused} calls were refused since the last line",
                lasted.as_secs()
            ),
        }
    }

    /// A caller was told so.
    pub(crate) fn refused(&self) {
        self.look().refused();
    }

    /// The store did something.
    pub(crate) fn served(&self) {
        self.look().there(Instant::now());
    }

    /// Says that an outage is over, if it is; asked every second or so.
    pub(crate) fn pass(&self) {
        let line = self.look().passes(Instant::now());
        if let Some(Line::Ends { lasted, refused }) = line {
            let lasted_ms = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(
                lasted_ms,
                refused,
                "the store serves again after {:.1} s; {refused} calls were refused meanwhile",
                lasted.as_secs_f64()
            );
        }
    }

    /// Tells of what failed because a call was refused, or a look: in a line of its own, unless the store is away, which
    /// is told once for all of them.
    pub(crate) fn warn(&self, what: fmt::Arguments<'_>) {
        match self.look().since {
            Some(_) => tracing::debug!("{what}"),
            None => tracing::warn!("{what}"),
        }
    }

    fn look(&self) -> MutexGuard<'_, Outage> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// Asks a store that is away once a second, with so many refused calls behind each; the lines with their second.
    fn away(outage: &mut Outage, begin: Instant, from: u64, until: u64, calls: u64) -> Vec<(u64, Line)> {
        let mut lines = Vec::new();
        for second in from..until {
            lines.extend(outage.away(begin + seconds(second)).map(|line| (second, line)));
            (0..calls).for_each(|_| outage.refused());
        }
        lines
    }

    /// Has the store serve from then on until the outage is over, a second at a time.
    fn there(outage: &mut Outage, begin: Instant, from: u64) -> Vec<(u64, Line)> {
        let mut lines = Vec::new();
        for second in from..=from + CALM.as_secs() {
            outage.there(begin + seconds(second));
            lines.extend(outage.passes(begin + seconds(second)).map(|line| (second, line)));
        }
        lines
    }

    #[test]
    fn an_outage_is_told_when_it_begins_once_a_minute_and_when_it_is_over() {
        let (mut outage, begin) = (Outage::default(), Instant::now());
        assert_eq!(there(&mut outage, begin, 0), [], "nothing is said of a store that is there");
        let lines = away(&mut outage, begin, 0, 150, 10);
        let expected = [
            (0, Line::Begins { refused: 0 }),
            (60, Line::GoesOn { lasted: seconds(60), refused: 600 }),
            (120, Line::GoesOn { lasted: seconds(120), refused: 600 }),
        ];
        assert_eq!(lines, expected);
        let over = there(&mut outage, begin, 151);
        assert_eq!(over, [(154, Line::Ends { lasted: seconds(151), refused: 1500 })], "it ended when it served");
        // Whoever learns of it late is of no outage.
        outage.refused();
        let next = begin + seconds(151) + SETTLED;
        assert_eq!(outage.away(next), Some(Line::Begins { refused: 0 }), "one that comes later is news");
        assert_eq!(there(&mut outage, next, 1), [(4, Line::Ends { lasted: seconds(1), refused: 0 })]);
    }

    #[test]
    fn a_store_that_takes_something_now_and_then_is_in_one_outage_and_no_refused_call_is_left_out() {
        let (mut outage, begin) = (Outage::default(), Instant::now());
        let mut told = Vec::new();
        // Away in each even second, there in each odd one.
        for second in 0..122 {
            let at = begin + seconds(second);
            if second % 2 == 0 {
                told.extend(outage.away(at).map(|line| (second, line)));
                (0..3).for_each(|_| outage.refused());
            } else {
                outage.there(at);
            }
            told.extend(outage.passes(at).map(|line| (second, line)));
        }
        let expected = [
            (0, Line::Begins { refused: 0 }),
            (60, Line::GoesOn { lasted: seconds(60), refused: 90 }),
            (120, Line::GoesOn { lasted: seconds(120), refused: 90 }),
        ];
        assert_eq!(told, expected);
        assert_eq!(outage.passes(begin + seconds(124)), Some(Line::Ends { lasted: seconds(121), refused: 183 }));
    }

    #[test]
    fn an_outage_right_behind_another_is_told_once_it_lasts() {
        let (mut outage, begin) = (Outage::default(), Instant::now());
        assert_eq!(away(&mut outage, begin, 0, 5, 1).len(), 1);
        assert_eq!(there(&mut outage, begin, 5).len(), 1);
        let lines = away(&mut outage, begin, 9, 129, 1);
        let expected = [(60, Line::Begins { refused: 51 }), (120, Line::GoesOn { lasted: seconds(111), refused: 60 })];
        assert_eq!(lines, expected);
    }
}
