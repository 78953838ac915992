//! The last of what happened, in memory, for whoever reads along.
//!
//! The writer appends what a transaction changed as one piece and wakes whoever waits; readers come for it when they can
//! and hold nothing but their place. So no reader can slow the writer, and a slow one costs no memory: what left the ring
//! before it came is told to it as a number.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidings_model::Timestamp;
use tidings_model::limits::{EVENT_READERS_MAX, EVENTS_HELD_MAX};
use tokio::sync::watch;

use super::{Happened, What};

/// Looks at the ring in a second, of all readers together: many readers look seldomer, so that all of them cost the
/// engine no more than a few do.
const LOOKS_PER_SECOND_MAX: u32 = 4000;
/// Between two looks of one reader at least, however few there are.
const PACE_MIN: Duration = Duration::from_millis(5);

/// The last of what happened.
#[derive(Debug)]
pub(crate) struct Ring {
    /// Tells the events of this start from those of another.
    pub(super) epoch: i64,
    pieces: Mutex<Pieces>,
    newest: watch::Sender<Newest>,
    readers: AtomicUsize,
}

/// How far it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Newest {
    /// The place behind the newest event.
    pub(super) end: u64,
    /// Nothing comes any more.
    pub(super) closed: bool,
}

#[derive(Debug, Default)]
struct Pieces {
    pieces: VecDeque<Piece>,
    held: usize,
    end: u64,
}

/// What one transaction changed.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// The place of its first event.
    pub(super) first: u64,
    pub(super) events: Arc<Vec<Happened>>,
}

impl Ring {
    pub(crate) fn new(started_at: Timestamp) -> Ring {
        let (newest, _) = watch::channel(Newest::default());
        Ring { epoch: started_at.0, pieces: Mutex::default(), newest, readers: AtomicUsize::new(0) }
    }

    /// Adds what a transaction changed, and wakes whoever waits.
    pub(crate) fn append(&self, events: Vec<Happened>) {
        if events.is_empty() {
            return;
        }
        let count = events.len();
        let events = Arc::new(events);
        let mut old = Vec::new();
        let end = {
            let mut held = self.pieces();
            let first = held.end;
            held.pieces.push_back(Piece { first, events });
            held.held += count;
            held.end += count as u64;
            while held.pieces.front().is_some_and(|front| held.held - front.events.len() >= EVENTS_HELD_MAX) {
                let piece = held.pieces.pop_front().expect("it was looked at");
                held.held -= piece.events.len();
                old.push(piece);
            }
            held.end
        };
        // What left is taken apart here, where nobody waits for the lock.
        drop(old);
        self.newest.send_modify(|newest| newest.end = end);
    }

    /// Says that nothing comes any more: readers end when they have what there is.
    pub(crate) fn close(&self) {
        self.newest.send_modify(|newest| newest.closed = true);
    }

    /// The last changes of messages, newest first.
    pub(crate) fn recent(&self, count: usize) -> Vec<Happened> {
        let pieces: Vec<Piece> = self.pieces().pieces.iter().rev().cloned().collect();
        let newest_first = pieces.iter().flat_map(|piece| piece.events.iter().rev());
        newest_first.filter(|happened| matches!(happened.what, What::Message(_))).take(count).cloned().collect()
    }

    /// The piece that has the event at that place, or the oldest if that has left. `None` at the end.
    pub(super) fn piece(&self, place: u64) -> Option<Piece> {
        let held = self.pieces();
        if place >= held.end {
            return None;
        }
        let after = held.pieces.partition_point(|piece| piece.first <= place);
        held.pieces.get(after.saturating_sub(1)).cloned()
    }

    /// The place of the oldest event that is there, or the end.
    pub(super) fn oldest(&self) -> u64 {
        let held = self.pieces();
        held.pieces.front().map_or(held.end, |piece| piece.first)
    }

    pub(super) fn end(&self) -> u64 {
        self.pieces().end
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Newest> {
        self.newest.subscribe()
    }

    /// Counts a reader in, if there is room for one.
    pub(super) fn enter(&self) -> bool {
        let more = |count| (count < EVENT_READERS_MAX).then_some(count + 1);
        self.readers.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
    }

    pub(super) fn leave(&self) {
        self.readers.fetch_sub(1, Ordering::AcqRel);
    }

    /// How many read along.
    pub(crate) fn readers(&self) -> usize {
        self.readers.load(Ordering::Acquire)
    }

    /// How long a reader rests between two looks.
    pub(super) fn pace(&self) -> Duration {
        let readers = u32::try_from(self.readers()).unwrap_or(u32::MAX);
        (Duration::from_secs(1) * readers / LOOKS_PER_SECOND_MAX).max(PACE_MIN)
    }

    fn pieces(&self) -> MutexGuard<'_, Pieces> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
