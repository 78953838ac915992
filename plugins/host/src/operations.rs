//! The deliveries of a plugin's transports that wait for an answer, by the number the plugin knows them by.
//!
//! A number is a slot and its generation: one that is stale, doubled or invented is told apart without a pointer and
//! without a memory that grows.

use std::collections::VecDeque;
use std::sync::Arc;

use tidings_sdk::{Outcome, OwnedDelivery};

use crate::reply::Reply;

/// Every delivery on its way.
pub(crate) struct Operations {
    slots: Vec<Slot>,
    /// First in, first out: a slot rests as long as it can, so that a late answer still finds its history.
    free: VecDeque<u32>,
    most: usize,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    open: Option<Open>,
    /// How the last 64 generations ended: bit n is set where the one n before this ended without an answer.
    unanswered: u64,
}

/// A delivery that waits.
pub(crate) struct Open {
    pub(crate) instance: u64,
    pub(crate) delivery: Arc<OwnedDelivery>,
    pub(crate) reply: Arc<Reply<Outcome>>,
    /// Whether the plugin has it, or may have it.
    pub(crate) handed_over: bool,
}

/// What an answer of the plugin is to.
pub(crate) enum Answered {
    /// A delivery that waits for it.
    Open(Open),
    /// One that nobody waits for any more.
    Late,
    /// One that was answered before.
    Doubled,
    /// None that this instance was ever given.
    Foreign,
}

impl Operations {
    pub(crate) fn new(most: usize) -> Operations {
        Operations { slots: Vec::new(), free: VecDeque::new(), most: most.min(u32::MAX as usize) }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// A number for a delivery; `None` where as many wait as may.
    pub(crate) fn begin(
        &mut self,
        instance: u64,
        delivery: Arc<OwnedDelivery>,
        reply: Arc<Reply<Outcome>>,
    ) -> Option<u64> {
        let place = match self.free.pop_front() {
            Some(place) => place,
            None if self.slots.len() < self.most => {
                self.slots.push(Slot::default());
                u32::try_from(self.slots.len() - 1).ok()?
            }
            None => return None,
        };
        let slot = &mut self.slots[place as usize];
        // From 1: no number is 0. After four thousand million messages through one slot it begins again.
        slot.generation = slot.generation.checked_add(1).unwrap_or(1);
        slot.unanswered <<= 1;
        slot.open = Some(Open { instance, delivery, reply, handed_over: false });
        Some(u64::from(slot.generation) << 32 | u64::from(place))
    }

    /// The delivery of that number, if it still waits.
    pub(crate) fn open(&mut self, operation: u64) -> Option<&mut Open> {
        let (place, generation) = parts(operation);
        let slot = self.slots.get_mut(place).filter(|slot| slot.generation == generation)?;
        slot.open.as_mut()
    }

    /// The plugin answers.
    pub(crate) fn answer(&mut self, instance: u64, operation: u64) -> Answered {
        let (place, generation) = parts(operation);
        let Some(slot) = self.slots.get_mut(place) else { return Answered::Foreign };
        let Some(age) = slot.generation.checked_sub(generation).filter(|_| generation > 0) else {
            return Answered::Foreign;
        };
        if age == 0
            && let Some(open) = slot.open.take()
        {
            if open.instance != instance {
                slot.open = Some(open);
                return Answered::Foreign;
            }
            self.free.extend(u32::try_from(place));
            return Answered::Open(open);
        }
        let bit = 1u64.checked_shl(age).unwrap_or(0);
        if slot.unanswered & bit == 0 {
            return Answered::Doubled;
        }
        slot.unanswered &= !bit;
        Answered::Late
    }

    /// Nobody waits any more: the delivery, if it was not answered just now.
    pub(crate) fn give_up(&mut self, operation: u64) -> Option<Open> {
        let (place, generation) = parts(operation);
        let slot = self.slots.get_mut(place).filter(|slot| slot.generation == generation)?;
        let open = slot.open.take()?;
        // What never reached the plugin is never answered by it either; if it is, that is an answer to nothing.
        slot.unanswered |= u64::from(open.handed_over);
        self.free.extend(u32::try_from(place));
        Some(open)
    }

    /// Everything that waits, given up.
    pub(crate) fn give_up_all(&mut self) -> Vec<Open> {
        let open = self.slots.iter().enumerate().filter(|(_, slot)| slot.open.is_some());
        let numbers: Vec<u64> = open.map(|(place, slot)| u64::from(slot.generation) << 32 | place as u64).collect();
        numbers.into_iter().filter_map(|operation| self.give_up(operation)).collect()
    }

    /// What the plugin has now, for whoever must not show its secrets.
    pub(crate) fn deliveries(&self) -> impl Iterator<Item = &Arc<OwnedDelivery>> {
        self.slots.iter().filter_map(|slot| slot.open.as_ref()).map(|open| &open.delivery)
    }
}

/// The slot's place and the generation.
fn parts(operation: u64) -> (usize, u32) {
    let place = u32::try_from(operation & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    (place as usize, u32::try_from(operation >> 32).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn begin(operations: &mut Operations, instance: u64) -> Option<u64> {
        let delivery = OwnedDelivery {
            token: String::new(),
            credential: None,
            recipient: String::new(),
            content: serde_json::Map::new(),
            dedupe_id: String::new(),
            timeout: Duration::from_secs(1),
        };
        operations.begin(instance, Arc::new(delivery), Reply::new())
    }

    fn word(answered: &Answered) -> &'static str {
        match answered {
            Answered::Open(_) => "open",
            Answered::Late => "late",
            Answered::Doubled => "doubled",
            Answered::Foreign => "foreign",
        }
    }

    #[test]
    fn an_answer_is_taken_once_and_the_second_is_doubled() {
        let mut operations = Operations::new(8);
        let operation = begin(&mut operations, 1).unwrap();
        assert_eq!(word(&operations.answer(1, operation)), "open");
        assert_eq!(word(&operations.answer(1, operation)), "doubled");
        assert_eq!(operations.in_flight(), 0);
    }

    #[test]
    fn an_answer_after_the_end_of_waiting_is_late_and_the_next_is_doubled() {
        let mut operations = Operations::new(1);
        let operation = begin(&mut operations, 1).unwrap();
        operations.open(operation).unwrap().handed_over = true;
        assert!(operations.give_up(operation).is_some());
        // Its slot has been used since.
        for _ in 0..5 {
            let later = begin(&mut operations, 1).unwrap();
            assert_eq!(word(&operations.answer(1, later)), "open");
        }
        assert_eq!(word(&operations.answer(1, operation)), "late");
        assert_eq!(word(&operations.answer(1, operation)), "doubled");
    }

    #[test]
    fn what_was_never_issued_or_is_of_another_instance_is_foreign() {
        let mut operations = Operations::new(8);
        let operation = begin(&mut operations, 1).unwrap();
        assert_eq!(word(&operations.answer(2, operation)), "foreign");
        assert_eq!(word(&operations.answer(1, operation + (1 << 32))), "foreign");
        for invented in [0, 1, 7, 1 << 32 | 5, u64::MAX] {
            assert_eq!(word(&operations.answer(1, invented)), "foreign", "{invented}");
        }
        assert_eq!(word(&operations.answer(1, operation)), "open");
    }

    #[test]
    fn no_more_wait_than_may() {
        let mut operations = Operations::new(2);
        let first = begin(&mut operations, 1).unwrap();
        assert!(begin(&mut operations, 1).is_some());
        assert!(begin(&mut operations, 1).is_none());
        assert!(operations.give_up(first).is_some());
        assert!(operations.give_up(first).is_none());
        assert!(begin(&mut operations, 1).is_some_and(|next| next != first));
    }

    #[test]
    fn everything_is_given_up_at_once() {
        let mut operations = Operations::new(8);
        let first = begin(&mut operations, 1).unwrap();
        let second = begin(&mut operations, 1).unwrap();
        assert_eq!(word(&operations.answer(1, first)), "open");
        assert_eq!(operations.give_up_all().len(), 1);
        assert_eq!(operations.in_flight(), 0);
        assert!(operations.open(second).is_none());
    }
}
