//! Deliveries on their way to a plugin that does its own talking: offered in batches, and again when there is room.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tidings_abi::v1;
use tidings_sdk::{Outcome, OwnedDelivery};

use crate::calls::Parcel;
use crate::fields::Fields;
use crate::limits::{HAND_OVER_MIN, SUBMIT_BATCH_MAX};
use crate::opened::Opened;
use crate::queue::Work;
use crate::reply::{Reply, lock};
use crate::resident::unanswered;
use crate::trouble::{Trouble, spoken};

/// An instance that carries messages.
pub(crate) type Carrying = Opened<v1::Transport>;

/// How long after an offer there is another, whether the plugin said that it has room or not: one that forgot to say so
/// loses time, and no messages.
pub(crate) const OFFER_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A delivery that is to be submitted.
pub(crate) struct Offered {
    carrying: Arc<Carrying>,
    operation: u64,
    delivery: Arc<OwnedDelivery>,
    /// After it nobody waits; `None` for ever.
    until: Option<Instant>,
}

impl Offered {
    /// Whether both go to one instance.
    pub(crate) fn is_beside(&self, other: &Offered) -> bool {
        Arc::ptr_eq(&self.carrying, &other.carrying)
    }

    /// Whether somebody still waits; it counts as handed over from here on.
    fn has_time(&self) -> bool {
        self.until.is_none_or(|until| until.saturating_duration_since(Instant::now()) >= HAND_OVER_MIN)
    }

    fn hand_over(&self) -> bool {
        let mut operations = lock(&self.carrying.resident().operations);
        operations.open(self.operation).map(|open| open.handed_over = true).is_some()
    }

    /// It was not taken; false if nobody waits for it any more.
    fn take_back(&self) -> bool {
        let mut operations = lock(&self.carrying.resident().operations);
        operations.open(self.operation).map(|open| open.handed_over = false).is_some()
    }

    /// The plugin panicked while it had this one in its hands: it may have been sent.
    fn leave_open(&self) {
        let resident = self.carrying.resident();
        let open = lock(&resident.operations).give_up(self.operation);
        if let Some(open) = open {
            let trouble = Trouble::Panicked { plugin: resident.name, function: "submit" };
            open.reply.answer(Ok(unanswered(true, trouble.to_string())));
        }
    }

    fn is_waited_for(&self) -> bool {
        lock(&self.carrying.resident().operations).open(self.operation).is_some()
    }
}

/// What the instances have not taken yet. It belongs to the plugin's thread.
#[derive(Default)]
pub(crate) struct Backlogs {
    by_instance: BTreeMap<u64, Backlog>,
}

struct Backlog {
    carrying: Arc<Carrying>,
    waiting: VecDeque<Offered>,
    offered_at: Instant,
}

impl Backlogs {
    /// Takes deliveries to one instance, and offers them unless it has to say first that there is room.
    pub(crate) fn offer(&mut self, deliveries: Vec<Offered>) {
        let Some(carrying) = deliveries.first().map(|first| Arc::clone(&first.carrying)) else { return };
        let id = carrying.instance.id;
        let backlog = self.by_instance.entry(id).or_insert_with(|| Backlog {
            carrying,
            waiting: VecDeque::new(),
            offered_at: Instant::now(),
        });
        let held_back = !backlog.waiting.is_empty();
        backlog.waiting.extend(deliveries);
        if !held_back {
            backlog.submit();
        } else {
            backlog.shrink();
        }
        if backlog.waiting.is_empty() {
            self.by_instance.remove(&id);
        }
    }

    /// Offers again to the instances that have room.
    pub(crate) fn resume(&mut self) {
        self.by_instance.retain(|_, backlog| {
            let is_due = backlog.is_due();
            // All of it is looked at once in a while, and not at each answer: it may be long.
            if is_due {
                backlog.waiting.retain(Offered::is_waited_for);
            }
            if is_due || backlog.carrying.instance.is_writable.load(Ordering::SeqCst) {
                backlog.submit();
            }
            !backlog.waiting.is_empty()
        });
    }

    /// Whether nothing waits to be taken.
    pub(crate) fn are_empty(&self) -> bool {
        self.by_instance.is_empty()
    }

    /// Whether something was last offered long ago.
    pub(crate) fn are_due(&self) -> bool {
        self.by_instance.values().any(Backlog::is_due)
    }
}

impl Backlog {
    fn is_due(&self) -> bool {
        self.offered_at.elapsed() >= OFFER_AGAIN_AFTER
    }

    /// Offers batch after batch, as long as the instance takes them.
    fn submit(&mut self) {
        let instance = Arc::clone(&self.carrying.instance);
        loop {
            instance.is_writable.store(false, Ordering::SeqCst);
            self.offered_at = Instant::now();
            let batch = self.batch();
            if batch.is_empty() || self.carrying.resident().is_parked() {
                instance.holds_back.store(false, Ordering::SeqCst);
                return;
            }
            let offered = batch.len();
            let taken = self.submit_batch(batch);
            if taken == offered {
                continue;
            }
            // In this order: whoever answers sets the one and looks at the other, in the other order.
            instance.holds_back.store(true, Ordering::SeqCst);
            if !instance.is_writable.load(Ordering::SeqCst) {
                return;
            }
        }
    }

    /// The next deliveries that somebody waits for.
    fn batch(&mut self) -> Vec<Offered> {
        let mut batch = Vec::new();
        while batch.len() < SUBMIT_BATCH_MAX {
            match self.waiting.pop_front() {
                Some(offered) if offered.has_time() && offered.hand_over() => batch.push(offered),
                Some(_) => {}
                None => break,
            }
        }
        batch
    }

    /// Offers these, and keeps those that were not taken, in their order; says how many it is rid of.
    fn submit_batch(&mut self, mut batch: Vec<Offered>) -> usize {
        let (now, offered_count) = (Instant::now(), batch.len());
        let fields: Vec<Fields<'_>> =
            batch.iter().map(|offered| Fields::of_content(&offered.delivery.content)).collect();
        let deliveries: Vec<v1::Delivery> = batch
            .iter()
            .zip(&fields)
            .map(|(offered, fields)| {
                let left = offered.until.map_or(Duration::MAX, |until| until.saturating_duration_since(now));
                Parcel { timeout: left, ..Parcel::of(&offered.delivery) }.crossing(offered.operation, fields)
            })
            .collect();
        let (taken, panicked) = self.carrying.submit(&deliveries);
        drop(fields);
        for offered in batch.drain(taken..).rev() {
            if panicked {
                offered.leave_open();
            } else if offered.take_back() {
                self.waiting.push_front(offered);
            }
        }
        if panicked { offered_count } else { taken }
    }

    /// Forgets what nobody waits for, when that may be the most of it.
    fn shrink(&mut self) {
        let in_flight = lock(&self.carrying.resident().operations).in_flight();
        if self.waiting.len() > 2 * in_flight + SUBMIT_BATCH_MAX {
            self.waiting.retain(Offered::is_waited_for);
        }
    }
}

/// Hands a delivery over and waits for what comes of it.
pub(crate) async fn deliver(carrying: &Arc<Carrying>, delivery: OwnedDelivery) -> Outcome {
    let resident = carrying.resident();
    let wait = delivery.timeout;
    let delivery = Arc::new(delivery);
    let reply = Reply::new();
    let begun = lock(&resident.operations).begin(carrying.instance.id, Arc::clone(&delivery), Arc::clone(&reply));
    let Some(operation) = begun else {
        let waiting = resident.limits.operations_max;
        return unanswered(false, Trouble::Full { plugin: resident.name, waiting }.to_string());
    };
    let leaving = Leaving { carrying, operation };
    let until = Instant::now().checked_add(wait);
    let offered = Offered { carrying: Arc::clone(carrying), operation, delivery, until };
    if let Err(trouble) = resident.queue(Work::Deliver(offered)) {
        return unanswered(false, trouble.to_string());
    }
    match reply.wait(wait).await {
        Some(Ok(outcome)) => outcome,
        Some(Err(fault)) => unanswered(true, Trouble::from(fault).to_string()),
        None => match leaving.give_up() {
            Some(false) => {
                let wait = spoken(wait);
                unanswered(false, format!("plugin `{}` did not take it within {wait}; nothing was sent", resident.name))
            }
            // Answered in the moment of leaving: too late to be heard, and as unknown as no answer.
            Some(true) | None => {
                unanswered(true, format!("no answer of plugin `{}` within {}", resident.name, spoken(wait)))
            }
        },
    }
}

/// Gives a delivery up when its future ends without an answer, however it ends.
struct Leaving<'a> {
    carrying: &'a Arc<Carrying>,
    operation: u64,
}

impl Leaving<'_> {
    /// Whether it was handed over; `None` if it was answered.
    fn give_up(&self) -> Option<bool> {
        let resident = self.carrying.resident();
        let open = lock(&resident.operations).give_up(self.operation)?;
        if open.handed_over && self.carrying.table.cancel.is_some() {
            let carrying = Arc::clone(self.carrying);
            // A courtesy: where there is no room for it, the plugin answers into the void.
            drop(resident.queue(Work::Cancel { carrying, operation: self.operation }));
        }
        Some(open.handed_over)
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.give_up();
    }
}
