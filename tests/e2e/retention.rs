//! What becomes of messages that have ended, and of outcomes that come too late.

use crate::harness::{World, on_each_store};
use serde_json::json;

on_each_store! {
    an_outcome_that_comes_after_the_message_was_held_is_counted_and_changes_nothing,
}

/// Looks after a start, before the next: the walk through the messages is the first thing an engine does.
const LOOKS: u32 = 100;

// With a file alone: from a database messages leave by the day, as the store's contract shows.
#[test]
fn a_message_that_was_sent_leaves_after_its_time_and_its_key_stays_taken() {
    let world = World::new();
    world.configure_more("[store]\nkeep_done = \"1s\"\n");
    world.run();
    let request = ["send", "notice", "--to", "o-ann", "--data", "title=hello", "--data", "order.id=1", "--key", "k1"];
    let id = world.ok_json(&[&request[..], &["--json"]].concat())["id"].as_str().unwrap().to_owned();
    world.until(&id, "sent");
    // Its time is over in a second; the walk has ended by then, and a start begins another at once.
    world.wait("it is gone", || {
        assert!(world.terminate().success());
        world.run();
        (0..LOOKS).any(|_| world.get(&format!("/v1/messages/{id}")).status == 404).then_some(())
    });
    let again = world.ok_json(&[&request[..], &["--json"]].concat());
    assert_eq!((&again["id"], &again["state"]), (&json!(id), &json!("gone")), "the key is remembered longer");
    assert_eq!(world.arrived("1"), 1);
}

fn an_outcome_that_comes_after_the_message_was_held_is_counted_and_changes_nothing() {
    let world = World::running();
    world.faults(json!([{"kind": "latency", "ms": 1500, "api": "official_template"}]));
    let id = world.send("notice", "o-ann", "1");
    world.until(&id, "sending");
    assert_eq!(world.post(&format!("/v1/messages/{id}/hold"), &json!({})).status, 200);
    world.wait("the outcome came", || (world.get("/v1/overview").json()["late_outcomes"] == json!(1)).then_some(()));
    assert_eq!(world.message(&id)["state"], "held");
}
