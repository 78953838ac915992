//! Rules about transports that do their own talking.
//!
//! The rule's thread is the plugin's thread: it makes every call, one at a time, as the engine's does for its 8
//! submitting callers. Those are instances here, used in turn by chance.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use tidings_abi::v1;
use tidings_sdk::{OwnedDelivery, StageDescription};

use super::calls::Size;
use super::record::{self, Record};
use super::rig::{Grown, Instance, Rig};
use super::values::{self, Chance, NOWHERE};
use super::{Asked, Found, Progress, process, pure};
use crate::calls::Parcel;
use crate::fields::Fields;
use crate::limits::SUBMIT_BATCH_MAX;

/// Deliveries of the rule that counts answers, and instances that share them.
const DELIVERIES: usize = 10_000;
const CALLERS: usize = 8;

/// Deliveries on their way when an instance is ended.
const IN_FLIGHT: usize = 1000;

/// How long the end of an instance may take.
const DESTROY_MAX: Duration = Duration::from_secs(5);

/// Full batches that the time is taken of.
const BATCHES: usize = 20;

/// How long `submit` should take at most, and how long it may.
const SUBMIT_GOOD: Duration = Duration::from_millis(10);
const SUBMIT_MAX: Duration = Duration::from_secs(1);

/// How long answers are waited for.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);

/// How long a rule may take.
pub(super) const DEADLINE: Duration = Duration::from_secs(120);

/// How long it is watched whether there is a call that must not come.
const QUIET_FOR: Duration = Duration::from_millis(300);

/// An instance and the deliveries that it was offered, all of one content.
pub(super) struct Course<'i, 'r> {
    instance: &'i Instance<'r>,
    delivery: OwnedDelivery,
    /// How many of them it took.
    taken: u64,
    longest_submit: Duration,
}

impl<'i, 'r> Course<'i, 'r> {
    pub(super) fn new(instance: &'i Instance<'r>, delivery: OwnedDelivery) -> Course<'i, 'r> {
        Course { instance, delivery, taken: 0, longest_submit: Duration::ZERO }
    }

    /// Offers the next so many; says how many were taken.
    fn offer(&mut self, count: usize, size: Size) -> Result<usize, String> {
        let fields = Fields::of_content(&self.delivery.content);
        let ids: Vec<String> = (0..count as u64).map(|number| format!("check-{}", self.taken + number)).collect();
        let deliveries: Vec<Grown<v1::Delivery>> = ids
            .iter()
            .zip(*numbers(self.instance.id, self.taken).end() + 1..)
            .map(|(id, operation)| {
                let parcel = Parcel { dedupe_id: id, ..Parcel::of(&self.delivery) };
                let crossing = parcel.crossing(operation, &fields);
                if size == Size::Grown { Grown::larger(crossing) } else { Grown::new(crossing) }
            })
            .collect();
        let begun = Instant::now();
        let taken = self.instance.submit(&deliveries)?;
        self.longest_submit = self.longest_submit.max(begun.elapsed());
        self.taken += taken as u64;
        Ok(taken)
    }

    /// Offers so many in full batches, what was not taken again after an answer or `writable`.
    pub(super) fn offer_all(&mut self, count: usize, most: Duration) -> Result<(), String> {
        let end = Instant::now() + most;
        let mut left = count;
        while left > 0 {
            let seen = record::with(|record| progress_of(record));
            let taken = self.offer(left.min(SUBMIT_BATCH_MAX), Size::Grown)?;
            left -= taken;
            if taken == 0
                && !record::wait_until(end.saturating_duration_since(Instant::now()), |record| {
                    progress_of(record) > seen
                })
            {
                return Err(format!(
                    "`submit` took {} of {count} deliveries, and for {} s there was no answer and no `writable` to offer the \
                     others again",
                    count - left,
                    most.as_secs()
                ));
            }
        }
        Ok(())
    }

    /// Waits until each that was taken has an answer; false if one has none.
    pub(super) fn wait_answered(&self, most: Duration) -> bool {
        record::wait_until(most, |record| self.unanswered(record) == 0)
    }

    fn unanswered(&self, record: &Record) -> usize {
        numbers(self.instance.id, self.taken)
            .filter(|operation| !record.answers.contains_key(&(self.instance.id, *operation)))
            .count()
    }
}

/// The numbers of the first so many deliveries of an instance: no other instance has one of them.
fn numbers(instance: u64, taken: u64) -> RangeInclusive<u64> {
    let before = instance << 32;
    before + 1..=before + taken
}

/// Rises with whatever may make room.
fn progress_of(record: &Record) -> u64 {
    record.answers.len() as u64 + record.writable
}

/// Each of these was answered once, and nothing else was.
fn answered_once(courses: &[(u64, u64)]) -> Result<(), String> {
    record::with(|record| {
        if let Some(fault) = record.faults.first() {
            return Err(fault.clone());
        }
        if let Some(panic) = record.panics.first() {
            return Err(format!("it panicked: {}", record::short(panic)));
        }
        for (instance, taken) in courses {
            let missing =
                numbers(*instance, *taken).filter(|operation| !record.answers.contains_key(&(*instance, *operation)));
            let missing: Vec<u64> = missing.collect();
            if let Some(first) = missing.first() {
                return Err(format!(
                    "{} of {taken} deliveries were never answered; the first is number {first}",
                    missing.len()
                ));
            }
        }
        for (instance, operation) in record.answers.keys() {
            if !courses.iter().any(|(id, taken)| id == instance && numbers(*id, *taken).contains(operation)) {
                return Err(format!(
                    "it answered operation {operation} of instance {instance}, which it was never given"
                ));
            }
        }
        for ((_, operation), answers) in &record.answers {
            if answers.count > 1 {
                return Err(format!("it answered operation {operation} {} times", answers.count));
            }
        }
        Ok(())
    })
}

/// Tries each transport with an app that sends to `port`.
fn each(
    asked: &Asked,
    progress: &mut Progress<'_>,
    port: u16,
    mut test: impl FnMut(&Rig, &StageDescription, &Offered, &mut Progress<'_>) -> Result<Found, String>,
) -> Result<Found, String> {
    progress.at("loads it");
    let rig = Rig::open(asked)?;
    let app = values::app(&rig, asked, port);
    let mut found = Found::Well;
    for stage in rig.stages("transport") {
        let rules = pure::rules(&stage);
        let delivery = values::delivery(asked, &stage, &rules, values::content(&rules, asked));
        let offered = Offered { app: app.clone(), delivery };
        progress.at(&format!("makes an instance of `{}`", stage.name));
        match test(&rig, &stage, &offered, progress).map_err(|what| format!("stage `{}`: {what}", stage.name))? {
            Found::Well => {}
            other => found = other,
        }
    }
    Ok(found)
}

/// What instances are made with and offered.
struct Offered {
    app: serde_json::Map<String, serde_json::Value>,
    delivery: OwnedDelivery,
}

pub(super) fn once(asked: &Asked, progress: &mut Progress<'_>) -> Result<Found, String> {
    let mut chance = Chance::new(asked.seed);
    each(asked, progress, NOWHERE, |rig, stage, offered, progress| {
        let instances: Vec<Instance<'_>> =
            (0..CALLERS).map(|_| rig.instance(stage, &offered.app)).collect::<Result<_, _>>()?;
        let mut courses: Vec<Course<'_, '_>> =
            instances.iter().map(|instance| Course::new(instance, offered.delivery.clone())).collect();
        progress.at(&format!("submits {DELIVERIES} deliveries to {CALLERS} instances in turn"));
        let mut left = DELIVERIES;
        while left > 0 {
            let course = &mut courses[chance.under(CALLERS)];
            let count = (1 + chance.under(SUBMIT_BATCH_MAX)).min(left);
            course.offer_all(count, ANSWERED_WITHIN)?;
            left -= count;
        }
        progress.at("waits for the answers");
        let all = courses.iter().all(|course| course.wait_answered(ANSWERED_WITHIN));
        let taken: Vec<(u64, u64)> = courses.iter().map(|course| (course.instance.id, course.taken)).collect();
        drop(courses);
        if !all {
            let wait = ANSWERED_WITHIN.as_secs();
            return answered_once(&taken)
                .map_err(|what| format!("{wait} s after the last `submit`: {what} (their timeout was 5 s)"))
                .map(|()| Found::Well);
        }
        progress.at("ends the instances");
        drop(instances);
        record::wait_until(QUIET_FOR, |_| false);
        answered_once(&taken).map(|()| Found::Well)
    })
}

pub(super) fn prefix(asked: &Asked, progress: &mut Progress<'_>) -> Result<Found, String> {
    each(asked, progress, NOWHERE, |rig, stage, offered, progress| {
        let instance = rig.instance(stage, &offered.app)?;
        let mut course = Course::new(&instance, offered.delivery.clone());
        progress.at("submits full batches until one is not taken whole");
        let mut was_full = false;
        for _ in 0..2 * DELIVERIES / SUBMIT_BATCH_MAX {
            was_full = course.offer(SUBMIT_BATCH_MAX, Size::Grown)? < SUBMIT_BATCH_MAX;
            if was_full {
                break;
            }
        }
        if was_full {
            progress.at("offers the rest again after an answer");
            course.offer_all(SUBMIT_BATCH_MAX, ANSWERED_WITHIN)?;
        }
        course.wait_answered(ANSWERED_WITHIN);
        let taken = [(instance.id, course.taken)];
        drop(course);
        drop(instance);
        answered_once(&taken)?;
        Ok(if was_full { Found::Well } else { Found::Nothing("it took everything at once".to_owned()) })
    })
}

pub(super) fn edges(asked: &Asked, progress: &mut Progress<'_>) -> Result<Found, String> {
    each(asked, progress, NOWHERE, |rig, stage, offered, progress| {
        let instance = rig.instance(stage, &offered.app)?;
        let mut course = Course::new(&instance, offered.delivery.clone());
        progress.at("submits no delivery");
        course.offer(0, Size::Known)?;
        for (what, timeout) in [("that is over", 0), ("of 1 ms", 1), ("of 49 days", u64::from(u32::MAX))] {
            progress.at(&format!("submits a full batch with a timeout {what}"));
            course.delivery.timeout = Duration::from_millis(timeout);
            course.offer_all(SUBMIT_BATCH_MAX, ANSWERED_WITHIN)?;
        }
        let content = course.delivery.content.clone();
        course.delivery.timeout = offered.delivery.timeout;
        for (number, content) in
            values::strange_contents(&content, &mut Chance::new(asked.seed)).into_iter().enumerate()
        {
            progress.at(&format!("submits strange message {number}"));
            drop(instance.check("transport", &content)?);
            course.delivery.content = content;
            course.offer_all(1, ANSWERED_WITHIN)?;
        }
        course.delivery.content = content;
        for recipient in ["", "\0", "\r\nRCPT TO:<x@example.com>", "订单", &"x".repeat(512)] {
            progress.at(&format!("submits a message to {recipient:?}"));
            course.delivery.recipient = recipient.to_owned();
            course.offer_all(1, ANSWERED_WITHIN)?;
        }
        progress.at("waits for the answers");
        course.wait_answered(DESTROY_MAX);
        let taken = [(instance.id, course.taken)];
        drop(course);
        progress.at("ends the instance");
        drop(instance);
        answered_once(&taken).map(|()| Found::Well)
    })
}

/// A port that takes connections and never says a word.
fn silence() -> Result<TcpListener, String> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| format!("this rule needs a port of its own: {error}"))
}

fn port(listener: &TcpListener) -> u16 {
    listener.local_addr().map_or(NOWHERE, |address| address.port())
}

pub(super) fn cancel(asked: &Asked, progress: &mut Progress<'_>) -> Result<Found, String> {
    let silence = silence()?;
    each(asked, progress, port(&silence), |rig, stage, offered, progress| {
        let instance = rig.instance(stage, &offered.app)?;
        let mut course = Course::new(&instance, offered.delivery.clone());
        course.delivery.timeout = ANSWERED_WITHIN;
        progress.at("submits a batch");
        course.offer(SUBMIT_BATCH_MAX, Size::Grown)?;
        progress.at("cancels it, and numbers that it was never given");
        let mut operations: Vec<u64> = numbers(instance.id, course.taken).collect();
        operations.extend([0, 1, u64::MAX]);
        if !instance.cancel(&operations) {
            return Ok(Found::Nothing("it has no function `cancel`".to_owned()));
        }
        instance.cancel(&operations[..0]);
        instance.cancel(&operations);
        // They may be answered now or when the instance ends.
        course.wait_answered(QUIET_FOR);
        let taken = [(instance.id, course.taken)];
        drop(course);
        progress.at("ends the instance");
        drop(instance);
        answered_once(&taken).map(|()| Found::Well)
    })
}

pub(super) fn quick(asked: &Asked, progress: &mut Progress<'_>) -> Result<Found, String> {
    each(asked, progress, NOWHERE, |rig, stage, offered, progress| {
        let instance = rig.instance(stage, &offered.app)?;
        let mut course = Course::new(&instance, offered.delivery.clone());
        progress.at(&format!("submits {BATCHES} full batches"));
        for _ in 0..BATCHES {
            course.offer(SUBMIT_BATCH_MAX, Size::Grown)?;
        }
        let longest = course.longest_submit;
        if longest > SUBMIT_MAX {
            return Err(format!(
                "`submit` took {} ms: it blocks, and nothing else of this plugin goes on",
                longest.as_millis()
            ));
        }
        if longest > SUBMIT_GOOD {
            return Ok(Found::Doubtful(format!("`submit` took {} ms once", longest.as_millis())));
        }
        Ok(Found::Well)
    })
}

pub(super) fn destroy(asked: &Asked, progress: &mut Progress<'_>) -> Result<Found, String> {
    let silence = silence()?;
    each(asked, progress, port(&silence), |rig, stage, offered, progress| {
        let threads = process::threads();
        let instance = rig.instance(stage, &offered.app)?;
        let mut course = Course::new(&instance, offered.delivery.clone());
        course.delivery.timeout = ANSWERED_WITHIN;
        progress.at(&format!("submits {IN_FLIGHT} deliveries"));
        while course.taken < IN_FLIGHT as u64 {
            let count = SUBMIT_BATCH_MAX.min(IN_FLIGHT - usize::try_from(course.taken).unwrap_or(IN_FLIGHT));
            if course.offer(count, Size::Grown)? == 0 {
                break;
            }
        }
        let taken = [(instance.id, course.taken)];
        let on_their_way = record::with(|record| course.unanswered(record));
        drop(course);
        progress.at(&format!("ends the instance with {on_their_way} on their way"));
        let begun = Instant::now();
        drop(instance);
        let took = begun.elapsed();
        let calls = record::with(|record| record.calls);
        if took > DESTROY_MAX {
            return Err(format!(
                "`destroy` took {} ms with {on_their_way} on their way; 5000 are allowed",
                took.as_millis()
            ));
        }
        answered_once(&taken).map_err(|what| format!("after `destroy`: {what}"))?;
        progress.at("watches what goes on after the end");
        if record::wait_until(QUIET_FOR, |record| record.calls > calls) {
            return Err(
                "it called the host after `destroy` had returned; its instance does not exist any more".to_owned()
            );
        }
        let left = process::settled(process::threads, threads);
        if left > threads {
            return Err(format!("{} threads are left after `destroy`: {}", left - threads, process::thread_names()));
        }
        Ok(Found::Well)
    })
}
