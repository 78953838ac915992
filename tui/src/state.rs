//! What the screen knows. No widget, no terminal, no clock: time comes in with every message.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use ratatui::layout::Rect;
use tidings_api::wire::{Hello, Overview};

use crate::calls::{Request, Trouble};
use crate::dialog::Dialog;
use crate::input::Input;
use crate::layout;
use crate::page::{self, Page};
use crate::time;
use crate::trend::Trend;
use crate::words::Language;

/// After how long without news the picture is called stale. News is due every second.
pub(crate) const STALE_AFTER: Duration = Duration::from_secs(2);
/// Over how long the throughput is measured.
const PACE_WINDOW_MS: i64 = 5_000;
/// More samples than the window gets.
const PACE_SAMPLES_MAX: usize = 64;

/// Pages that may lie over one another.
pub(crate) const DETAILS_MAX: usize = 8;

/// How the screen looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// Its language.
    pub(crate) language: Language,
    /// Whether colours may be used.
    pub(crate) colour: bool,
    /// Whether the terminal's background is light.
    pub(crate) light: bool,
}

/// Everything the view needs.
#[derive(Debug)]
pub(crate) struct State {
    /// What all pages share.
    pub(crate) shared: Shared,
    /// The pages in the row of pages.
    pub(crate) tops: Vec<Shown>,
    /// Which of them is shown.
    pub(crate) current: usize,
    /// Pages that lie over it.
    pub(crate) details: Vec<Shown>,
    /// What lies over the page.
    pub(crate) overlay: Overlay,
    /// What is to be said, until the next key.
    pub(crate) note: Option<Note>,
    /// Dialogs so far: an answer is for the one that asked.
    pub(crate) dialogs: u64,
    /// Acts under way: those of dialogs that were closed go on.
    pub(crate) under_way: usize,
    /// Whether something visible may have changed since the last frame.
    pub(crate) dirty: bool,
}

/// What all pages share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// How the screen looks.
    pub(crate) look: Look,
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
    /// Who we are to the engine.
    pub(crate) hello: Option<Hello>,
    /// Messages that left, over time.
    pub(crate) pace: Pace,
    /// The same over minutes.
    pub(crate) trend: Trend,
    /// The pace of each channel of the last picture.
    pub(crate) paces: BTreeMap<String, Pace>,
    /// Until when the frame that is drawn says what it says.
    pub(crate) holds: Holds,
}

/// Until when what is drawn says what it says: whoever draws something of the time notes it, as of the screen's beginning.
#[derive(Debug, Default)]
pub(crate) struct Holds(Cell<Option<Duration>>);

impl Holds {
    /// A frame is begun.
    pub(crate) fn begin(&self) {
        self.0.set(None);
    }

    /// Something that is drawn may be something else from then on.
    pub(crate) fn note(&self, until: Duration) {
        self.0.set(Some(self.0.get().map_or(until, |soonest| soonest.min(until))));
    }

    /// When the first of all that was noted is over; `None` where nothing moves with the time.
    pub(crate) fn until(&self) -> Option<Duration> {
        self.0.get()
    }
}

/// A page, and how what it shows came.
#[derive(Debug)]
pub(crate) struct Shown {
    /// The page.
    pub(crate) page: Box<dyn Page>,
    /// When the last answer came.
    pub(crate) came_at: Option<Duration>,
    /// Why the last call came to nothing, if it did.
    pub(crate) trouble: Option<Trouble>,
}

impl Shown {
    /// A page that shows nothing yet.
    pub(crate) fn new(page: Box<dyn Page>) -> Shown {
        Shown { page, came_at: None, trouble: None }
    }
}

/// What lies over the page and has the keys.
#[derive(Debug)]
pub(crate) enum Overlay {
    /// Nothing.
    None,
    /// The keys, from this row on.
    Help(usize),
    /// A line of text that is typed.
    Prompt(Prompt),
    /// An act that is asked about.
    Dialog(Box<Dialog>),
}

/// A line of text that is typed, and what for.
#[derive(Debug)]
pub(crate) struct Prompt {
    /// A command, or else a filter.
    pub(crate) is_command: bool,
    /// The text.
    pub(crate) input: Input,
    /// Why it cannot be that.
    pub(crate) problem: Option<String>,
    /// What it may go on as.
    pub(crate) candidates: Vec<String>,
}

/// Something to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    /// What.
    pub(crate) text: String,
    /// Whether it went as it should.
    pub(crate) good: bool,
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

impl State {
    /// Before anything is known.
    pub(crate) fn new(address: &str, look: Look) -> State {
        State {
            shared: Shared {
                look,
                address: address.to_owned(),
                size: (0, 0),
                now: Duration::ZERO,
                picture: None,
                trouble: None,
                hello: None,
                pace: Pace::default(),
                trend: Trend::default(),
                paces: BTreeMap::new(),
                holds: Holds::default(),
            },
            tops: page::tops().into_iter().map(Shown::new).collect(),
            current: 0,
            details: Vec::new(),
            overlay: Overlay::None,
            note: None,
            dialogs: 0,
            under_way: 0,
            dirty: true,
        }
    }

    /// The page that is shown.
    pub(crate) fn shown(&self) -> &Shown {
        self.details.last().unwrap_or(&self.tops[self.current])
    }

    /// What the page that is shown wants asked.
    pub(crate) fn wants(&self) -> Option<Request> {
        self.shown().page.wants()
    }

    /// When the picture becomes stale by silence, if that is still to come.
    pub(crate) fn stale_at(&self) -> Option<Duration> {
        let picture = self.shared.picture.as_ref()?;
        (self.shared.link() == Link::Live).then(|| picture.came_at + STALE_AFTER)
    }
}

impl Shared {
    /// How the screen stands to the engine.
    pub(crate) fn link(&self) -> Link {
        match &self.picture {
            None if self.trouble.is_some() => Link::NoEngine,
            None => Link::Connecting,
            Some(picture) => match self.now.saturating_sub(picture.came_at) {
                age if self.trouble.is_some() || age >= STALE_AFTER => Link::Stale(age),
                _ => Link::Live,
            },
        }
    }

    /// What the engine's clock says by now. What is drawn of it goes through those below, so that the frame knows until when
    /// it says what it says.
    pub(crate) fn engine_now(&self) -> Option<DateTime<Utc>> {
        let picture = self.picture.as_ref()?;
        let since = TimeDelta::from_std(self.now.saturating_sub(picture.came_at)).ok()?;
        picture.engine_at?.checked_add_signed(since)
    }

    /// The language of the screen.
    pub(crate) fn language(&self) -> Language {
        self.look.language
    }

    /// Where the page is drawn.
    pub(crate) fn content(&self) -> Rect {
        layout::content(Rect::new(0, 0, self.size.0, self.size.1))
    }

    /// Where an instant of the engine lies from its now; empty if there is none.
    pub(crate) fn relative(&self, instant: Option<&str>) -> String {
        let instant = instant.and_then(time::parse);
        let Some((at, now)) = instant.zip(self.engine_now()) else { return String::new() };
        self.holds.note(self.now + time::holds_for(at, now));
        time::relative(at, now, self.language())
    }

    /// The same while it is still to come.
    pub(crate) fn ahead(&self, instant: Option<&str>) -> Option<String> {
        let at = instant.and_then(time::parse)?;
        (at > self.engine_now()?).then(|| self.relative(instant))
    }

    /// How long ago an instant of the engine was.
    pub(crate) fn since(&self, instant: &str) -> Option<String> {
        let (at, now) = (time::parse(instant)?, self.engine_now()?);
        self.holds.note(self.now + time::holds_for(at, now));
        Some(time::span(now.signed_duration_since(at).num_seconds()))
    }

    /// Hours and minutes by the engine's clock.
    pub(crate) fn clock(&self) -> Option<String> {
        let now = self.engine_now()?;
        self.holds.note(self.now + time::minute_holds_for(now));
        Some(time::hours_and_minutes(now))
    }

    /// How old something is that came then, once it is older than that.
    pub(crate) fn older(&self, came_at: Duration, than: Duration) -> Option<String> {
        let age = self.now.saturating_sub(came_at);
        if age < than {
            self.holds.note(came_at + than);
            return None;
        }
        // To the second, as it is by far the most of the time: this tells of trouble.
        self.holds.note(came_at + Duration::from_secs(age.as_secs() + 1));
        Some(time::span(i64::try_from(age.as_secs()).unwrap_or(i64::MAX)))
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
    /// Takes a picture's count. Says whether the pace is another one by it.
    pub(crate) fn take(&mut self, at: DateTime<Utc>, left: i64) -> bool {
        let before = self.tenths_per_second();
        self.sample(at, left);
        self.tenths_per_second() != before
    }

    fn sample(&mut self, at: DateTime<Utc>, left: i64) {
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
}
