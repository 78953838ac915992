//! What becomes of messages that have ended, and of outcomes that come too late.

use std::time::Duration;

use crate::harness::World;
use serde_json::json;

/// Between a start and the look: the walk needs some milliseconds for each table.
const LOOK: Duration = Duration::from_millis(200);

#[test]
fn a_message_that_was_sent_leaves_after_its_time_and_its_key_stays_taken() {
    let world = World::new();
    world.configure_more("[store]\nkeep_done = \"1s\"\n");
    world.run();
    let request = ["send", "notice", "--to", "o-ann", "--data", "title=hello", "--data", "order.id=1", "--key", "k1"];
    let id = world.ok_json(&[&request[..], &["--json"]].concat())["id"].as_str().unwrap().to_owned();
    world.until(&id, "sent");
    // The walk has ended by then, and the next begins minutes later; a start begins one at once.
    world.wait("it is gone", || {
        assert!(world.terminate().success());
        world.run();
        std::thread::sleep(LOOK);
        (world.get(&format!("/v1/messages/{id}")).status == 404).then_some(())
    });
    let again = world.ok_json(&[&request[..], &["--json"]].concat());
    assert_eq!((&again["id"], &again["state"]), (&json!(id), &json!("gone")), "the key is remembered longer");
    assert_eq!(world.arrived("1"), 1);
}

#[test]
fn an_outcome_that_comes_after_the_message_was_held_is_counted_and_changes_nothing() {
    let world = World::running();
    world.faults(json!([{"kind": "latency", "ms": 1500, "api": "official_template"}]));
    let id = world.send("notice", "o-ann", "1");
    world.until(&id, "sending");
    assert_eq!(world.post(&format!("/v1/messages/{id}/hold"), &json!({})).status, 200);
    world.wait("the outcome came", || (world.get("/v1/overview").json()["late_outcomes"] == json!(1)).then_some(()));
    assert_eq!(world.message(&id)["state"], "held");
}
