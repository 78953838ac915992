//! Transports that do their own talking: each delivery ends in one outcome, whatever the plugin does.

use std::time::Duration;

use serde_json::json;
use tidings_host::{Limits, PluginState};
use tidings_sdk::{Outcome, Violation};

use crate::fixture::{
    LONG, app, carrier, delivery, delivery_within, load, load_within, map, the_neighbour_answers, until,
};

const SOON: Duration = Duration::from_millis(100);

fn is_accepted(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Accepted { .. })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_are_answered_from_another_thread() {
    let loaded = load("good_transport").unwrap();
    let stage = carrier(&loaded);
    let calls: Vec<_> = (0..5000)
        .map(|_| {
            let stage = stage.clone();
            tokio::spawn(async move { stage.deliver(delivery("ann")).await })
        })
        .collect();
    for call in calls {
        assert!(is_accepted(&call.await.unwrap()));
    }
    let counters = loaded.counters();
    assert_eq!((counters.late, counters.doubled, counters.foreign, counters.in_flight), (0, 0, 0, 0));
}

#[tokio::test]
async fn content_is_checked_before_it_is_carried() {
    let stage = carrier(&load("good_transport").unwrap());
    assert_eq!(stage.check(&map(json!({"a": 1})), LONG).await, Ok(Vec::new()));
    let nothing = stage.check(&map(json!({})), LONG).await.unwrap();
    assert_eq!(nothing, [Violation::new("", "there is nothing to say")]);
}

#[tokio::test]
async fn what_is_not_taken_is_offered_again_when_there_is_room() {
    let loaded = load("takes_a_prefix").unwrap();
    let stage = carrier(&loaded);
    let calls: Vec<_> = (0..500)
        .map(|_| {
            let stage = stage.clone();
            tokio::spawn(async move { stage.deliver(delivery("ann")).await })
        })
        .collect();
    let mut refused = 0;
    for call in calls {
        let Outcome::Accepted { provider_id } = call.await.unwrap() else { panic!("it is accepted in the end") };
        refused += u32::from(provider_id.as_deref() == Some("refused some"));
    }
    assert!(refused > 0, "it refused none, and so this tests nothing");
    assert_eq!(loaded.counters().in_flight, 0);
}

#[tokio::test]
async fn no_answer_in_time_is_unknown_and_the_late_one_is_counted() {
    let loaded = load("broken_transport").unwrap();
    let stage = carrier(&loaded);
    let outcome = stage.deliver(delivery_within("never", SOON)).await;
    let detail = "no answer of plugin `broken-transport` within 100 ms".to_owned();
    assert_eq!(outcome, Outcome::Unknown { detail });
    // The plugin was told that nobody waits.
    let told = stage.deliver(delivery("cancelled")).await;
    assert_eq!(told, Outcome::Rejected { reason: "it was cancelled".into() });
    assert!(is_accepted(&stage.deliver(delivery("the kept one, too")).await));
    assert_eq!(loaded.counters().late, 1);
    assert!(is_accepted(&stage.deliver(delivery("the kept one, too")).await));
    assert_eq!((loaded.counters().late, loaded.counters().doubled), (1, 1));
    the_neighbour_answers().await;
}

#[tokio::test]
async fn a_second_answer_and_answers_to_nothing_are_counted() {
    let loaded = load("broken_transport").unwrap();
    let stage = carrier(&loaded);
    assert!(is_accepted(&stage.deliver(delivery("twice")).await));
    until("it is counted", || loaded.counters().doubled == 1).await;
    assert!(is_accepted(&stage.deliver(delivery("foreign")).await));
    // Three invented numbers, and the right one in the name of another instance. Instances that are no plugin's at all
    // are nobody's to count.
    assert_eq!(loaded.counters().foreign, 4);
    assert_eq!(loaded.counters().in_flight, 0);
    the_neighbour_answers().await;
}

#[tokio::test]
async fn one_instance_does_not_answer_for_another() {
    let loaded = load("broken_transport").unwrap();
    let one = carrier(&loaded);
    let other = loaded.open_transport("carry", &app("other", json!({}))).unwrap();
    let waits = {
        let one = one.clone();
        tokio::spawn(async move { one.deliver(delivery("never")).await })
    };
    until("it is taken", || loaded.counters().in_flight == 1).await;
    assert!(is_accepted(&other.deliver(delivery("now")).await));
    assert!(is_accepted(&other.deliver(delivery("the kept one, too")).await));
    assert!(is_accepted(&waits.await.unwrap()));
}

#[tokio::test]
async fn what_was_never_taken_was_certainly_not_sent() {
    let loaded = load("broken_transport").unwrap();
    let outcome = carrier(&loaded).deliver(delivery_within("not taken", SOON)).await;
    let detail = "plugin `broken-transport` did not take it within 100 ms; nothing was sent".to_owned();
    // The channel waits a little, and no attempt is counted: it is no fault of the message's.
    assert_eq!(outcome, Outcome::Throttled { retry_after: Some(tidings_host::limits::BUSY_WAIT), detail });
    assert_eq!(loaded.counters().in_flight, 0);
    the_neighbour_answers().await;
}

#[tokio::test]
async fn shapes_that_cannot_be_are_counted_and_the_delivery_still_ends() {
    let loaded = load("broken_transport").unwrap();
    let stage = carrier(&loaded);
    assert!(is_accepted(&stage.deliver(delivery("small")).await));
    assert_eq!(loaded.counters().misshapen, 4);
    assert!(is_accepted(&stage.deliver(delivery("too many")).await));
    until("it is counted", || loaded.counters().misshapen == 5).await;
    // What is said beside an outcome does not change it: a message that was taken does not become unknown by its words.
    let outcome = stage.deliver(delivery("null detail")).await;
    assert_eq!(outcome, Outcome::Rejected { reason: String::new() });
    assert!(is_accepted(&stage.deliver(delivery("not taken but answered")).await));
    the_neighbour_answers().await;
}

#[tokio::test]
async fn a_submit_that_does_not_come_back_parks_the_plugin_and_each_delivery_ends_as_it_must() {
    let limits = Limits { stuck_after: Duration::from_millis(200), ..Limits::default() };
    let loaded = load_within("broken_transport", limits).unwrap();
    let stage = carrier(&loaded);
    let inside = {
        let stage = stage.clone();
        tokio::spawn(async move { stage.deliver(delivery("stuck")).await })
    };
    until("it is on its way", || loaded.counters().in_flight == 1).await;
    // Give the thread time to go in: what comes then waits outside.
    let before = stage.deliver(delivery_within("now", SOON)).await;
    assert!(matches!(&before, Outcome::Throttled { detail, .. } if detail.contains("nothing was sent")), "{before:?}");
    let outside = stage.deliver(delivery("now")).await;
    assert!(matches!(&outside, Outcome::Throttled { detail, .. } if detail.contains("is parked")), "{outside:?}");
    let inside = inside.await.unwrap();
    assert!(
        matches!(&inside, Outcome::Unknown { detail } if detail.contains("`submit` did not come back")),
        "{inside:?}"
    );
    assert!(matches!(loaded.state(), PluginState::Parked { .. }));
    let later = stage.deliver(delivery("now")).await;
    assert!(matches!(&later, Outcome::Throttled { .. }), "{later:?}");
    the_neighbour_answers().await;
}

#[tokio::test]
async fn what_was_in_hand_when_the_plugin_panicked_may_have_arrived() {
    let loaded = load("broken_transport").unwrap();
    let stage = carrier(&loaded);
    for panics in 1..=3 {
        let outcome = stage.deliver(delivery("panicked")).await;
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
        assert_eq!(loaded.counters().panics, panics);
    }
    assert!(matches!(loaded.state(), PluginState::Parked { .. }));
    the_neighbour_answers().await;
}

#[tokio::test]
async fn what_a_plugin_says_inside_submit_does_not_have_it_called_for_ever() {
    let stage = carrier(&load("broken_transport").unwrap());
    stage.deliver(delivery_within("not taken but writable", SOON)).await;
    let Outcome::Rejected { reason } = stage.deliver(delivery("how many offers")).await else { panic!("it is told") };
    assert_eq!(reason, "1");
}

#[tokio::test]
async fn a_plugin_that_forgets_to_say_that_it_has_room_is_asked_again() {
    let loaded = load("broken_transport").unwrap();
    let outcome = carrier(&loaded).deliver(delivery("not taken at first")).await;
    assert!(is_accepted(&outcome), "{outcome:?}");
}

#[tokio::test]
async fn no_more_deliveries_wait_than_may() {
    let limits = Limits { operations_max: 3, ..Limits::default() };
    let loaded = load_within("broken_transport", limits).unwrap();
    let stage = carrier(&loaded);
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let stage = stage.clone();
            tokio::spawn(async move { stage.deliver(delivery_within("never", LONG)).await })
        })
        .collect();
    until("three wait", || loaded.counters().in_flight == 3).await;
    let one_more = stage.deliver(delivery("now")).await;
    assert!(matches!(&one_more, Outcome::Throttled { detail, .. } if detail.contains("no more may")), "{one_more:?}");
    waiting.into_iter().for_each(|waits| waits.abort());
    until("a dropped delivery leaves", || loaded.counters().in_flight == 0).await;
    assert!(is_accepted(&stage.deliver(delivery("now")).await));
}
