//! Up to where a channel's queue was claimed: a claim begins there, and not among what is gone.
//!
//! On PostgreSQL what was claimed stays in the queue's index until the table is vacuumed, and as long as somebody reads
//! what was there before (a backup does, for hours): a claim that began at the front would step over all of it, more at each.
//! So a claim goes on behind what was claimed last, of each priority. What may have come before that is looked for from the
//! front, now and then: other engines write here too. Whatever this engine puts there itself has it begin at the front.

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

    /// A claim began at the front, then, and was answered now.
    pub(super) fn began_at_front(&mut self, channel: ChannelId, then: Instant, now: Instant) {
        let took = now.saturating_duration_since(then);
        let front_at = now + FRONT_AGAIN.max(took * FRONT_REST);
        let rests_until = now + took.saturating_sub(FRONT_CHEAP) * FRONT_REST;
        let floor = self.channels.entry(channel).or_insert(Floor { claimed: BTreeMap::new(), front_at, rests_until });
        (floor.front_at, floor.rests_until) = (front_at, rests_until);
    }

    /// All up to there was claimed, or was taken from the queue otherwise.
    pub(super) fn raise(&mut self, channel: ChannelId, priority: i64, place: Place) {
        if let Some(floor) = self.channels.get_mut(&channel) {
            let claimed = floor.claimed.entry(Reverse(priority)).or_insert(place);
            *claimed = place.max(*claimed);
        }
    }

    /// A message was queued there.
    pub(super) fn came(&mut self, channel: ChannelId, priority: i64, place: Place) {
        let Some(floor) = self.channels.get(&channel) else { return };
        if floor.claimed.get(&Reverse(priority)).is_none_or(|claimed| place <= *claimed) {
            self.forget(channel);
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

    /// Claimed from the front, in a millisecond.
    fn looked(begin: Instant) -> Floors {
        let mut floors = Floors::default();
        floors.began_at_front(CHANNEL, begin, after(begin, 1));
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
    fn it_begins_at_the_front_four_times_a_second_and_less_often_where_that_takes_long() {
        let begin = Instant::now();
        let floors = looked(begin);
        assert!(floors.of(CHANNEL, after(begin, 250)).is_some() && floors.of(CHANNEL, after(begin, 251)).is_none());
        assert!(floors.may_begin_at_front(CHANNEL, after(begin, 1)), "at once where something is missing");
        let mut floors = Floors::default();
        floors.began_at_front(CHANNEL, begin, after(begin, 100));
        assert!(floors.of(CHANNEL, after(begin, 2099)).is_some() && floors.of(CHANNEL, after(begin, 2100)).is_none());
        assert!(!floors.may_begin_at_front(CHANNEL, after(begin, 1099)));
        assert!(floors.may_begin_at_front(CHANNEL, after(begin, 1100)) && floors.may_begin_at_front(OTHER, begin));
    }

    #[test]
    fn what_comes_behind_the_floor_leaves_it_and_what_comes_before_it_or_of_another_priority_has_all_looked_at() {
        let begin = Instant::now();
        for (priority, place, is_known) in [
            (0, (7, 4), true),
            (0, (8, 1), true),
            (0, (7, 3), false),
            (0, (6, 9), false),
            (1, (9, 9), false),
            (-1, (9, 9), false),
        ] {
            let mut floors = looked(begin);
            floors.raise(CHANNEL, 0, (7, 3));
            floors.came(CHANNEL, priority, place);
            assert_eq!(floors.of(CHANNEL, begin).is_some(), is_known, "{priority} {place:?}");
            floors.came(OTHER, priority, place);
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
