//! One reader of the ring: its place, what it wants, and what it missed.

use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;
use std::sync::Arc;

use tidings_model::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::ring::{Newest, Ring};
use super::{EventFilter, Happened};

/// Events handed to a reader before it rests: more at once, and a thousand readers would be most of what the engine does.
const TURN_EVENTS_MAX: u32 = 1024;

/// The place of an event: which start of the engine, and the how-manieth since. Written `EPOCH-NUMBER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    epoch: i64,
    number: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.number)
    }
}

/// Where a reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// With what happens from now on.
    Now,
    /// With the oldest that is there.
    Oldest,
    /// Behind what it was told last.
    Behind(Place),
}

/// A text that is no place in a stream of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAPlace;

impl FromStr for Place {
    type Err = NotAPlace;

    fn from_str(text: &str) -> Result<Place, NotAPlace> {
        let (epoch, number) = text.rsplit_once('-').ok_or(NotAPlace)?;
        Ok(Place { epoch: epoch.parse().map_err(|_| NotAPlace)?, number: number.parse().map_err(|_| NotAPlace)? })
    }
}

/// What a reader was not told, and cannot be told any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// How many events, wanted or not; `None` where nobody can say.
    pub missed: Option<u64>,
    /// When the last happened that it was told; `None` where nobody knows.
    pub since: Option<Timestamp>,
    /// When the first happened that it is told now; `None` where nothing has.
    pub until: Option<Timestamp>,
    /// How it came about.
    pub reason: GapReason,
}

/// How a gap came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapReason {
    /// What happened since the place it came back with is no longer there.
    TooLate,
    /// It read slower than things happened.
    TooSlow,
    /// The engine started anew meanwhile: nobody can say what was missed.
    Restarted,
}

impl GapReason {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            GapReason::TooLate => "too_late",
            GapReason::TooSlow => "too_slow",
            GapReason::Restarted => "restarted",
        }
    }
}

/// A reader along the ring.
#[derive(Debug)]
pub struct EventReader {
    ring: Arc<Ring>,
    filter: EventFilter,
    newest: watch::Receiver<Newest>,
    /// The next it is told.
    next: u64,
    last_at: Option<Timestamp>,
    /// What it may have missed before it came.
    before: Option<GapReason>,
    /// What is left of this turn, whether it goes on, and when the next begins.
    turn: u32,
    goes_on: bool,
    next_turn: Instant,
}

impl EventReader {
    /// `None` if there are too many readers already.
    pub(crate) fn new(ring: &Arc<Ring>, filter: EventFilter, begin: Begin) -> Option<EventReader> {
        if !ring.enter() {
            return None;
        }
        let end = ring.end();
        let (next, before) = match begin {
            Begin::Now => (end, None),
            Begin::Oldest => (ring.oldest(), None),
            Begin::Behind(Place { epoch, number }) if epoch == ring.epoch && number <= end => {
                (number, Some(GapReason::TooLate))
            }
            // Since the start everything is new to it.
            Begin::Behind(_) => (ring.oldest(), Some(GapReason::Restarted)),
        };
        Some(EventReader {
            newest: ring.subscribe(),
            ring: Arc::clone(ring),
            filter,
            next,
            last_at: None,
            before,
            turn: TURN_EVENTS_MAX,
            goes_on: true,
            next_turn: Instant::now(),
        })
    }

    /// Where it stands: whoever comes back with this is told everything behind it.
    pub fn place(&self) -> Place {
        Place { epoch: self.ring.epoch, number: self.next }
    }

    /// Whether it has read everything there is.
    pub fn is_done(&self) -> bool {
        self.next >= self.ring.end() && self.before != Some(GapReason::Restarted)
    }

    /// What it missed, if it did, once.
    pub fn gap(&mut self) -> Option<Gap> {
        let oldest = self.ring.oldest();
        let reason = self.before.take().unwrap_or(GapReason::TooSlow);
        let missed = match reason {
            GapReason::Restarted => None,
            GapReason::TooLate | GapReason::TooSlow if self.next < oldest => Some(oldest - self.next),
            GapReason::TooLate | GapReason::TooSlow => return None,
        };
        self.next = self.next.max(oldest);
        let first = self.ring.piece(self.next);
        let until = first.and_then(|piece| piece.events.first().map(|first| first.at));
        Some(Gap { missed, since: self.last_at, until, reason })
    }

    /// Hands over what is there and wanted, each with the place behind it, until `each` has enough, the turn is over, or
    /// nothing is there any more.
    pub fn read(&mut self, mut each: impl FnMut(Place, &Happened) -> ControlFlow<()>) {
        self.goes_on = false;
        while let Some(piece) = self.ring.piece(self.next).filter(|piece| piece.first <= self.next) {
            let skip = usize::try_from(self.next - piece.first).unwrap_or(usize::MAX);
            for happened in piece.events.iter().skip(skip) {
                if self.turn == 0 {
                    return;
                }
                self.next += 1;
                self.last_at = Some(happened.at);
                if !self.filter.wants(happened) {
                    continue;
                }
                self.turn -= 1;
                if each(self.place(), happened).is_break() {
                    self.goes_on = true;
                    return;
                }
            }
        }
    }

    /// Waits until there is something to read and it is this reader's turn. False when nothing comes any more.
    ///
    /// Dropped before its end it has done nothing.
    pub async fn wait(&mut self) -> bool {
        loop {
            let Newest { end, closed } = *self.newest.borrow_and_update();
            if self.next < end || self.before == Some(GapReason::Restarted) {
                break;
            }
            // Whoever could tell more is gone, which says the same.
            if closed || self.newest.changed().await.is_err() {
                return false;
            }
        }
        if !self.goes_on || self.turn == 0 {
            sleep_until(self.next_turn).await;
            self.turn = TURN_EVENTS_MAX;
            self.next_turn = Instant::now() + self.ring.pace();
        }
        true
    }
}

impl Drop for EventReader {
    fn drop(&mut self) {
        self.ring.leave();
    }
}
