//! The role `transport`: prefixes, answers, and the ends of things.

use tidings_abi::v1::{self, Text};
use tidings_abi::{COUNT_MAX, empty};

use crate::host::{Grown, Instance, interface};
use crate::plugin::{HELD_MAX, PANIC};

fn queue(app: &str) -> Instance {
    Instance::of("transport/1", "queue", app)
}

fn deliveries(recipients: &[&'static str]) -> Vec<v1::Delivery> {
    let of = |(operation, recipient)| v1::Delivery {
        operation,
        recipient: Text::of(recipient),
        dedupe_id: Text::of("d-1"),
        ..empty()
    };
    (100..).zip(recipients.iter().copied()).map(of).collect()
}

fn submit(instance: &Instance, deliveries: &[v1::Delivery]) -> usize {
    let role: v1::Transport = interface("transport/1");
    let grown = Grown::of(deliveries);
    // SAFETY: everything lives until after the call.
    unsafe { role.submit.unwrap()(instance.this, grown.pointer(), deliveries.len(), grown.stride) }
}

fn cancel(instance: &Instance, operations: &[u64]) {
    let role: v1::Transport = interface("transport/1");
    // SAFETY: everything lives until after the call.
    unsafe { role.cancel.unwrap()(instance.this, operations.as_ptr(), operations.len()) };
}

#[test]
fn a_message_may_be_answered_before_submit_returns() {
    let instance = queue("shop");
    assert_eq!(submit(&instance, &deliveries(&["now", "now"])), 2);
    let told = instance.told();
    let accepted = |operation| (operation, v1::ACCEPTED, "d-1".to_owned());
    assert_eq!(told.completed, [accepted(100), accepted(101)]);
    assert_eq!(told.writable, 0, "nothing was given back");
}

#[test]
fn what_is_given_back_is_not_answered_and_is_asked_for_after_the_next_answer() {
    let instance = queue("shop");
    assert_eq!(submit(&instance, &deliveries(&["hold", "hold", "hold", "hold"])), HELD_MAX);
    let told = instance.told();
    assert_eq!((told.completed.len(), told.writable), (0, 0));
    cancel(&instance, &[100, 77]);
    let told = instance.told();
    assert_eq!(told.completed, [(100, v1::UNKNOWN, String::new())]);
    assert_eq!(told.writable, 1);
    cancel(&instance, &[101]);
    assert_eq!(instance.told().writable, 0, "it was told before, and nothing was given back since");
}

#[test]
fn an_answer_during_the_submit_that_gives_back_is_enough_to_be_asked_again() {
    let instance = queue("shop");
    // `next` answers what is held and is given back: no other answer will come.
    assert_eq!(submit(&instance, &deliveries(&["hold", "next"])), 1);
    let told = instance.told();
    assert_eq!(told.completed, [(100, v1::ACCEPTED, String::new())]);
    assert_eq!(told.writable, 1);
}

#[test]
fn a_panic_in_submit_answers_its_message_and_takes_no_more() {
    let instance = queue("shop");
    assert_eq!(submit(&instance, &deliveries(&["hold", "panic", "hold"])), 2);
    let told = instance.told();
    assert_eq!(told.completed, [(101, v1::UNKNOWN, String::new())]);
    assert_eq!(told.panicked.len(), 1);
    assert!(told.panicked[0].contains(PANIC), "{told:?}");
    assert_eq!(told.writable, 1, "the third is to be offered again");
}

#[test]
fn the_end_of_an_instance_answers_what_it_holds_also_when_it_panics() {
    for (app, panics) in [("shop", 0), ("panic", 1)] {
        let instance = queue(app);
        assert_eq!(submit(&instance, &deliveries(&["hold", "hold"])), 2);
        let id = instance.id;
        drop(instance);
        let told = crate::host::take_told(id);
        let unknown = |operation| (operation, v1::UNKNOWN, String::new());
        assert_eq!(told.completed, [unknown(100), unknown(101)], "{app}");
        assert_eq!(told.panicked.len(), panics, "{app}");
    }
}

#[test]
fn a_message_that_cannot_be_read_is_rejected_and_the_next_goes_on() {
    let instance = queue("shop");
    let mut offered = deliveries(&["now", "now"]);
    offered[0].recipient = Text { data: c"\xff".as_ptr(), size: 1 };
    assert_eq!(submit(&instance, &offered), 2);
    let told = instance.told();
    let outcomes: Vec<i32> = told.completed.iter().map(|(_, outcome, _)| *outcome).collect();
    assert_eq!(outcomes, [v1::REJECTED, v1::ACCEPTED]);
}

#[test]
fn an_array_that_cannot_be_is_not_taken() {
    let instance = queue("shop");
    let role: v1::Transport = interface("transport/1");
    let one = deliveries(&["now"]);
    let stride = size_of::<v1::Delivery>();
    for (pointer, count, stride) in
        [(std::ptr::null(), 1, stride), (one.as_ptr(), 1, 8), (one.as_ptr(), COUNT_MAX + 1, usize::MAX)]
    {
        // SAFETY: refused before anything is read.
        assert_eq!(unsafe { role.submit.unwrap()(instance.this, pointer, count, stride) }, 0);
    }
    assert_eq!(instance.told().logged.len(), 3);
}

#[cfg(feature = "runtime")]
#[test]
fn a_task_answers_logs_and_panics_under_its_own_instance() {
    use std::time::{Duration, Instant};

    let instance = Instance::of("transport/1", "tasks", "shop");
    assert_eq!(submit(&instance, &deliveries(&["ann", "panic", "never"])), 3);
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut told = instance.told();
    while told.completed.len() < 2 || told.logged.len() < 2 {
        assert!(Instant::now() < deadline, "{told:?}");
        std::thread::yield_now();
        let more = instance.told();
        told.completed.extend(more.completed);
        told.panicked.extend(more.panicked);
        told.logged.extend(more.logged);
    }
    told.completed.sort_unstable();
    let (accepted, unknown) = ((100, v1::ACCEPTED, "d-1".to_owned()), (101, v1::UNKNOWN, String::new()));
    assert_eq!(told.completed, [accepted, unknown]);
    assert_eq!(told.logged, [(v1::LOG_WARN, "a task".to_owned()), (v1::LOG_WARN, "a task".to_owned())]);
    assert_eq!(told.panicked.len(), 1);
    assert!(told.panicked[0].contains(PANIC), "{told:?}");
    let id = instance.id;
    drop(instance);
    assert_eq!(crate::host::take_told(id).completed, [(102, v1::UNKNOWN, String::new())]);
}
