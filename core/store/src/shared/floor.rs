//! Up to where a channel's queue was claimed: a claim begins there, and not among what is gone.
//!
//! On PostgreSQL what was claimed stays in the queue's index until the table is vacuumed, and as long as somebody reads
//! what was there before (a backup does, for hours): a claim that began at the front would step over all of it, more at each.
//! So a claim goes on behind what was claimed last, of each priority. What this engine itself puts before that lowers the
//! floor, or has it forgotten where nobody says where it stands. What other engines put there is looked for from the front,
//! now and then.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::batch::ChannelId;

/// How often a claim begins at the front, at least: what another engine puts before a floor waits for that.
const FRONT_AGAIN: Duration = Duration::from_millis(250);

/// How much longer than a look from the front took none is made again: what is gone may be very much.
const FRONT_REST: u32 = 20;

/// What a look from the front may take that is made as soon as something seems to be missing.
const FRONT_CHEAP: Duration = Duration::from_millis(50);

/// What counts of a look that took longer: it may have waited for something else. So nobody rests for more than five seconds.
const FRONT_TOOK_MAX: Duration = Duration::from_millis(250);

/// Priorities that are gone through, each by a statement of its own. Where there are more, each claim begins at the front.
const PRIORITIES_MAX: usize = 4;

/// A message's place among those of its channel and priority: when it was due, and its id.
pub(super) type Place = (i64, i64);

/// The floors of all channels.
#[derive(Debug, Default)]
pub(super) struct Floors {
    channels: HashMap<ChannelId, Floor>,
}

#[derive(Debug)]
struct Floor {
    /// The last place that was claimed of each priority, highest first.
    claimed: BTreeMap<Reverse<i64>, Place>,
    /// When a claim begins at the front again, whatever it finds behind the floor.
    front_at: Instant,
    /// Before that none does although something seems to be missing.
    rests_until: Instant,
}

/// A look from the front.
#[derive(Debug, Clone, Copy)]
pub(super) struct FrontLook {
    pub(super) begun: Instant,
    pub(super) ended: Instant,
    /// The priority and the place of the last that it found, if it found as many as it asked for: there may be more.
    pub(super) full_to: Option<(i64, Place)>,
}

impl Floors {
    /// Where a claim goes on, by priority; `None` if it begins at the front.
    pub(super) fn of(&self, channel: ChannelId, now: Instant) -> Option<Vec<(i64, Place)>> {
        let floor = self.channels.get(&channel)?;
        let is_known = now < floor.front_at && floor.claimed.len() <= PRIORITIES_MAX;
        is_known.then(|| floor.claimed.iter().map(|(Reverse(priority), place)| (*priority, *place)).collect())
    }

    /// Whether somebody may look at the front because there should be more than was found behind the floor.
    pub(super) fn may_begin_at_front(&self, channel: ChannelId, now: Instant) -> bool {
        self.channels.get(&channel).is_none_or(|floor| now >= floor.rests_until)
    }

    /// A claim began at the front.
    pub(super) fn began_at_front(&mut self, channel: ChannelId, look: FrontLook) {
        let FrontLook { begun, ended, full_to } = look;
        let took = ended.saturating_duration_since(begun).min(FRONT_TOOK_MAX);
        let floor = self.channels.entry(channel).or_insert_with(|| Floor {
            claimed: BTreeMap::new(),
            front_at: ended,
            rests_until: ended,
        });
        // Of what is behind the last of them nothing was seen, so it is no news that something is missing.
        let rest = if full_to.is_some() { Duration::ZERO } else { took.saturating_sub(FRONT_CHEAP) * FRONT_REST };
        floor.rests_until = ended + rest;
        // Others put more before the floor than was found: the next claim begins there too.
        let is_more_before = full_to.is_some_and(|(priority, place)| {
            floor.claimed.get(&Reverse(priority)).is_some_and(|claimed| place < *claimed)
        });
        let again = if is_more_before { Duration::ZERO } else { FRONT_AGAIN.max(took * FRONT_REST) };
        floor.front_at = ended + again;
    }

    /// All up to there was claimed, or was taken from the queue otherwise.
    pub(super) fn raise(&mut self, channel: ChannelId, priority: i64, place: Place) {
        if let Some(floor) = self.channels.get_mut(&channel) {
            let claimed = floor.claimed.entry(Reverse(priority)).or_insert(place);
            *claimed = place.max(*claimed);
        }
    }

    /// Messages were queued, none of them before that place: it is behind the floor from now on.
    pub(super) fn came(&mut self, channel: ChannelId, priority: i64, (due_at, id): Place) {
        if let Some(floor) = self.channels.get_mut(&channel) {
            let before = (due_at, id.saturating_sub(1));
            let claimed = floor.claimed.entry(Reverse(priority)).or_insert(before);
            *claimed = before.min(*claimed);
        }
    }

    /// Something may have been queued anywhere.
    pub(super) fn forget(&mut self, channel: ChannelId) {
        self.channels.remove(&channel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNEL: ChannelId = ChannelId(1);
    const OTHER: ChannelId = ChannelId(2);

    fn after(begin: Instant, ms: u64) -> Instant {
        begin + Duration::from_millis(ms)
    }

    fn look(begun: Instant, took_ms: u64, full_to: Option<(i64, Place)>) -> FrontLook {
        FrontLook { begun, ended: after(begun, took_ms), full_to }
    }

    /// Claimed from the front, in a millisecond, and found all.
    fn looked(begin: Instant) -> Floors {
        let mut floors = Floors::default();
        floors.began_at_front(CHANNEL, look(begin, 1, None));
        floors
    }

    #[test]
    fn a_claim_goes_on_behind_what_was_claimed_of_each_priority_the_highest_first() {
        let begin = Instant::now();
        let mut floors = looked(begin);
        assert_eq!(floors.of(CHANNEL, begin), Some(Vec::new()));
        for (priority, place) in [(0, (7, 3)), (5, (9, 4)), (0, (7, 2)), (-1, (1, 1)), (5, (9, 6))] {
            floors.raise(CHANNEL, priority, place);
        }
        assert_eq!(floors.of(CHANNEL, begin), Some(vec![(5, (9, 6)), (0, (7, 3)), (-1, (1, 1))]));
        assert_eq!(floors.of(OTHER, begin), None, "of another channel nothing is known");
    }

    #[test]
    fn it_begins_at_the_front_four_times_a_second_and_less_often_where_that_takes_long_but_within_five_seconds() {
        let begin = Instant::now();
        // How long it took, when one begins there again, and when one does that misses something.
        for (took, again, if_missing) in
            [(1, 250, 0), (50, 1_000, 0), (100, 2_000, 1_000), (250, 5_000, 4_000), (9_000, 5_000, 4_000)]
        {
            let mut floors = Floors::default();
            floors.began_at_front(CHANNEL, look(begin, took, None));
            let then = |ms: u64| after(begin, took + ms);
            assert!(floors.of(CHANNEL, then(again - 1)).is_some(), "{took}");
            assert!(floors.of(CHANNEL, then(again)).is_none(), "{took}");
            assert!(if_missing == 0 || !floors.may_begin_at_front(CHANNEL, then(if_missing - 1)), "{took}");
            assert!(floors.may_begin_at_front(CHANNEL, then(if_missing)), "{took}");
            assert!(floors.may_begin_at_front(OTHER, begin));
        }
    }

    /// A look that found two thousand of a high priority said nothing of ten thousand of a low one, and they stood still for twenty
    /// times as long as it had taken.
    #[test]
    fn what_a_full_look_did_not_come_to_is_looked_for_at_once() {
        let begin = Instant::now();
        let mut floors = Floors::default();
        floors.began_at_front(CHANNEL, look(begin, 2_000, Some((5, (7, 3)))));
        assert!(floors.may_begin_at_front(CHANNEL, after(begin, 2_000)));
    }

    #[test]
    fn as_long_as_there_is_more_before_the_floor_than_a_look_finds_each_claim_begins_at_the_front() {
        let begin = Instant::now();
        let mut floors = looked(begin);
        floors.raise(CHANNEL, 0, (100, 1));
        floors.began_at_front(CHANNEL, look(begin, 1, Some((0, (50, 9)))));
        assert_eq!(floors.of(CHANNEL, after(begin, 1)), None);
        floors.began_at_front(CHANNEL, look(begin, 1, Some((0, (101, 2)))));
        assert!(floors.of(CHANNEL, after(begin, 1)).is_some());
    }

    #[test]
    fn what_comes_is_behind_the_floor_from_then_on() {
        let begin = Instant::now();
        for (priority, place, expected) in [
            (0, (7, 4), vec![(0, (7, 3))]),
            (0, (8, 1), vec![(0, (7, 3))]),
            (0, (7, 3), vec![(0, (7, 2))]),
            (0, (6, 9), vec![(0, (6, 8))]),
            (0, (6, i64::MIN), vec![(0, (6, i64::MIN))]),
            (1, (9, 9), vec![(1, (9, 8)), (0, (7, 3))]),
            (-1, (9, 9), vec![(0, (7, 3)), (-1, (9, 8))]),
        ] {
            let mut floors = looked(begin);
            floors.raise(CHANNEL, 0, (7, 3));
            floors.came(CHANNEL, priority, place);
            floors.came(OTHER, priority, place);
            assert_eq!(floors.of(CHANNEL, begin), Some(expected), "{priority} {place:?}");
            assert_eq!(floors.of(OTHER, begin), None);
        }
    }

    #[test]
    fn where_there_are_many_priorities_each_claim_begins_at_the_front() {
        let begin = Instant::now();
        let mut floors = looked(begin);
        for priority in 0..4 {
            floors.raise(CHANNEL, priority, (1, 1));
        }
        assert_eq!(floors.of(CHANNEL, begin).map(|known| known.len()), Some(PRIORITIES_MAX));
        floors.raise(CHANNEL, 4, (1, 1));
        assert_eq!(floors.of(CHANNEL, begin), None);
    }
}
