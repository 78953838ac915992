//! What the screen knows. No widget, no terminal, no clock: time comes in with every message.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tidings_api::wire::Overview;

use crate::message::Trouble;
use crate::time;
use crate::words::Language;

/// After how long without news the picture is called stale. News is due every half second.
const STALE_AFTER: Duration = Duration::from_secs(2);
/// Over how long the throughput is measured.
const PACE_WINDOW_MS: i64 = 5_000;
/// More samples than the window gets.
const PACE_SAMPLES_MAX: usize = 64;

/// Everything the view needs.
#[derive(Debug)]
pub(crate) struct State {
    /// The language of the screen.
    pub(crate) language: Language,
    /// Whether colours may be used.
    pub(crate) colour: bool,
    /// Where the engine is, as people write it.
    pub(crate) address: String,
    /// Columns and rows of the terminal.
    pub(crate) size: (u16, u16),
    /// Time since the screen began, as of the last message.
    pub(crate) now: Duration,
    /// The last picture of the engine.
    pub(crate) picture: Option<Picture>,
    /// Why the last call came to nothing, if it did.
    pub(crate) trouble: Option<Trouble>,
    /// Messages that left, over time.
    pub(crate) pace: Pace,
    /// The list that the keys move.
    pub(crate) focus: List,
    /// The first row shown of each list.
    pub(crate) scroll: [usize; List::ALL.len()],
    /// The first row shown of the help, while it is shown.
    pub(crate) help: Option<usize>,
    /// Whether something visible changed since the last frame.
    pub(crate) dirty: bool,
}

/// A picture of the engine, and when it was taken.
#[derive(Debug)]
pub(crate) struct Picture {
    /// The engine's answer.
    pub(crate) overview: Arc<Overview>,
    /// When it came, since the screen began.
    pub(crate) came_at: Duration,
    /// What the engine's clock said then.
    pub(crate) engine_at: Option<DateTime<Utc>>,
}

/// How the screen stands to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// The first call is on its way.
    Connecting,
    /// It was called and never answered.
    NoEngine,
    /// The picture is of now.
    Live,
    /// The picture is so old.
    Stale(Duration),
}

/// A list that can be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    /// Channels.
    Channels,
    /// Tokens.
    Tokens,
    /// Schedules.
    Schedules,
    /// Messages that changed.
    Messages,
}

impl List {
    /// In the order of the screen.
    pub(crate) const ALL: [List; 4] = [List::Channels, List::Tokens, List::Schedules, List::Messages];

    /// Its place in the order of the screen.
    pub(crate) fn index(self) -> usize {
        match self {
            List::Channels => 0,
            List::Tokens => 1,
            List::Schedules => 2,
            List::Messages => 3,
        }
    }

    /// How many rows it has in a picture.
    pub(crate) fn len(self, overview: &Overview) -> usize {
        match self {
            List::Channels => overview.channels.len(),
            List::Tokens => overview.tokens.len(),
            List::Schedules => overview.schedules.len(),
            List::Messages => overview.recent.len(),
        }
    }
}

impl State {
    /// Before anything is known.
    pub(crate) fn new(address: &str, language: Language, colour: bool) -> State {
        State {
            language,
            colour,
            address: address.to_owned(),
            size: (0, 0),
            now: Duration::ZERO,
            picture: None,
            trouble: None,
            pace: Pace::default(),
            // The messages move most, and theirs is the list one wants to look back in.
            focus: List::Messages,
            scroll: [0; List::ALL.len()],
            help: None,
            dirty: true,
        }
    }

    /// How the screen stands to the engine.
    pub(crate) fn link(&self) -> Link {
        match &self.picture {
            None if self.trouble.is_some() => Link::NoEngine,
            None => Link::Connecting,
            Some(picture) => match self.now.saturating_sub(picture.came_at) {
                age if self.trouble.is_some() || age > STALE_AFTER => Link::Stale(age),
                _ => Link::Live,
            },
        }
    }

    /// What the engine's clock says by now.
    pub(crate) fn engine_now(&self) -> Option<DateTime<Utc>> {
        let picture = self.picture.as_ref()?;
        let since = TimeDelta::from_std(self.now.saturating_sub(picture.came_at)).ok()?;
        picture.engine_at?.checked_add_signed(since)
    }
}

impl Picture {
    /// A picture that just came.
    pub(crate) fn new(overview: Arc<Overview>, came_at: Duration) -> Picture {
        let engine_at = time::parse(&overview.now);
        Picture { overview, came_at, engine_at }
    }
}

/// How fast messages leave, from the counts of successive pictures.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// The engine's clock in milliseconds, and how many messages had left; oldest first.
    samples: VecDeque<(i64, i64)>,
}

impl Pace {
    /// Takes a picture's count.
    pub(crate) fn take(&mut self, at: DateTime<Utc>, left: i64) {
        let at_ms = at.timestamp_millis();
        if let Some(&(last_ms, last_left)) = self.samples.back() {
            // The clock went back, or old messages were purged: the difference would say nothing.
            if at_ms < last_ms || left < last_left {
                self.samples.clear();
            } else if at_ms == last_ms {
                return;
            }
        }
        self.samples.push_back((at_ms, left));
        let aged = |sample: Option<&(i64, i64)>| sample.is_some_and(|(ms, _)| at_ms - ms >= PACE_WINDOW_MS);
        while self.samples.len() > PACE_SAMPLES_MAX || aged(self.samples.get(1)) {
            self.samples.pop_front();
        }
    }

    /// Forgets all: another engine, or the same one started again.
    pub(crate) fn restart(&mut self) {
        self.samples.clear();
    }

    /// Tenths of messages a second; `None` before two pictures came.
    pub(crate) fn tenths_per_second(&self) -> Option<i64> {
        let (first_ms, first) = self.samples.front()?;
        let (last_ms, last) = self.samples.back()?;
        let elapsed_ms = last_ms.checked_sub(*first_ms).filter(|ms| *ms > 0)?;
        last.checked_sub(*first)?.checked_mul(10_000).map(|tenths| tenths / elapsed_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(ms).unwrap()
    }

    #[test]
    fn pace_is_the_difference_over_the_last_seconds() {
        let mut pace = Pace::default();
        assert_eq!(pace.tenths_per_second(), None);
        pace.take(at(0), 100);
        assert_eq!(pace.tenths_per_second(), None);
        pace.take(at(500), 150);
        assert_eq!(pace.tenths_per_second(), Some(1_000));
        for step in 2..100 {
            pace.take(at(step * 500), 150);
        }
        assert_eq!(pace.tenths_per_second(), Some(0), "what is older than the window is forgotten");
        assert!(pace.samples.len() <= 12);
    }

    #[test]
    fn pace_is_unknown_after_a_purge_or_a_clock_that_went_back() {
        let mut pace = Pace::default();
        pace.take(at(0), 100);
        pace.take(at(500), 10);
        assert_eq!(pace.tenths_per_second(), None);
        pace.take(at(1_000), 20);
        assert_eq!(pace.tenths_per_second(), Some(200));
        pace.take(at(10), 30);
        assert_eq!(pace.tenths_per_second(), None);
    }

    #[test]
    fn every_list_is_at_its_index() {
        for (index, list) in List::ALL.into_iter().enumerate() {
            assert_eq!(list.index(), index);
        }
    }
}
