//! Acts on many messages: a plan, and then the act on those of the plan.

use serde_json::{Value, json};

use crate::harness::{World, on_each_store, orders, users};

on_each_store! {
    a_plan_to_cancel_says_what_would_be_done_by_state_and_channel_and_changes_nothing,
    many_are_held_released_and_withdrawn_by_filter,
    an_act_is_for_those_of_its_plan_by_its_cursor_and_goes_on_after_a_crash,
    messages_are_chosen_by_age,
    an_act_on_many_that_cannot_be_is_refused_with_a_reason,
}

/// So many messages that wait for a permit, each about its own order.
fn waiting(world: &World, count: usize) {
    world.send_many("order-paid", &orders(&users(count)));
    world.wait("all of them wait", || (world.counts().waiting == i64::try_from(count).unwrap()).then_some(()));
}

fn a_plan_to_cancel_says_what_would_be_done_by_state_and_channel_and_changes_nothing() {
    let world = World::running();
    waiting(&world, 6);
    let id = world.send("order-paid", "o-later", "9");
    world.until(&id, "waiting");
    world.ok(&["messages", "hold", &id]);
    let said = world.tidings(&["messages", "cancel", "--channel", "orders"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.starts_with("7 messages: of any state that allows it, channel orders\n"), "{said:?}");
    for part in ["6 waiting orders", "1 held orders", "7 messages are withdrawn and not sent", &id] {
        assert!(said.out.contains(part), "`{part}` is not in {said:?}");
    }
    assert_eq!(said.out.matches("msg_").count(), 5, "a sample: {said:?}");
    assert!(said.err.contains("nothing was changed"), "{said:?}");
    let plan = world.ok_json(&["messages", "cancel", "--channel", "orders", "--json"]);
    let groups = json!([
        {"state": "waiting", "channel": "orders", "count": 6},
        {"state": "held", "channel": "orders", "count": 1},
    ]);
    assert_eq!((&plan["count"], &plan["groups"]), (&json!(7), &groups), "{plan:#}");
    assert_eq!((world.counts().waiting, world.counts().held), (6, 1));
    let record = world.ok_json(&["audit", "list", "--act", "message.cancel", "--json"]);
    assert_eq!(record["items"], json!([]), "a plan is no change");
}

fn many_are_held_released_and_withdrawn_by_filter() {
    let world = World::running();
    waiting(&world, 5);
    let out = world.ok(&["messages", "hold", "--channel", "orders", "--note", "a wrong price", "--yes"]);
    assert_eq!(out, "5 messages are stopped\n");
    assert_eq!(world.counts().held, 5);
    assert_eq!(world.message("msg_1")["detail"], "a wrong price");
    assert_eq!(world.ok(&["messages", "release", "--to", &users(1)[0], "--yes"]), "1 messages go on\n");
    world.wait("one waits again", || (world.counts().waiting == 1).then_some(()));
    assert_eq!(world.ok(&["messages", "cancel", "--state", "held", "--yes"]), "4 messages are withdrawn\n");
    assert_eq!(world.ok(&["messages", "cancel", "--template", "notice", "--yes"]), "0 messages are withdrawn\n");
    assert_eq!((world.counts().cancelled, world.counts().waiting), (4, 1));
    let record = world.ok_json(&["audit", "list", "--json"]);
    let told: Vec<String> = record["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| format!("{} {} {}", entry["act"].as_str().unwrap(), entry["detail"], entry["count"]))
        .collect();
    let expected = [
        "message.cancel \"state=held\" 4".to_owned(),
        format!("message.release \"state=held to={}\" 1", users(1)[0]),
        "message.hold \"state=scheduled,queued,waiting channel=orders\" 5".to_owned(),
    ];
    assert_eq!(told, expected);
}

fn an_act_is_for_those_of_its_plan_by_its_cursor_and_goes_on_after_a_crash() {
    let world = World::running();
    waiting(&world, 4);
    let filter = json!({"channel": "orders"});
    let plan = world.post("/v1/messages/cancel", &json!({"filter": filter, "plan": true})).json();
    let other = world.send("order-paid", "o-other", "other");
    world.until(&other, "waiting");
    world.kill();
    world.run();
    let request = json!({"filter": filter, "cursor": plan["next"]});
    let reply = world.post("/v1/messages/cancel", &request).json();
    assert_eq!((&reply["moved"], &reply["left"], &reply["next"]), (&json!(4), &json!(0), &Value::Null), "{reply:#}");
    assert_eq!(world.message(&other)["state"], "waiting");
    // The same again moves none of them, and none that is not theirs.
    let again = world.post("/v1/messages/cancel", &request).json();
    assert_eq!((&again["moved"], &again["passed_over"]), (&json!(0), &json!(0)), "{again:#}");
    // A cursor is for the act and the filter that it was made for.
    for (path, filter) in [("hold", json!({"channel": "orders"})), ("cancel", json!({"channel": "news"}))] {
        let answer = world.post(&format!("/v1/messages/{path}"), &json!({"filter": filter, "cursor": plan["next"]}));
        assert_eq!((answer.status, answer.problem().as_str()), (422, "cursor-invalid"), "{answer:?}");
    }
}

fn messages_are_chosen_by_age() {
    let world = World::running();
    waiting(&world, 3);
    let count = |args: &[&str]| {
        let page = world.ok_json(&[&["messages", "list", "--json"], args].concat());
        page["items"].as_array().unwrap().len()
    };
    assert_eq!(count(&["--newer-than", "1h"]), 3);
    assert_eq!(count(&["--older-than", "1h"]), 0);
    assert_eq!(count(&["--newer-than", "2020-01-01T00:00:00Z", "--state", "waiting"]), 3);
    let second = world.message("msg_2")["created_at"].as_str().unwrap().to_owned();
    assert!(count(&["--older-than", &second]) < 3);
    let plan = |args: &[&str]| world.ok_json(&[&["messages", "cancel", "--json"], args].concat())["count"].clone();
    assert_eq!((plan(&["--older-than", "1h"]), plan(&["--newer-than", "1h"])), (json!(0), json!(3)));
    assert_eq!(world.get("/v1/messages?older_than=soon").problem(), "time-invalid");
}

fn an_act_on_many_that_cannot_be_is_refused_with_a_reason() {
    let world = World::running();
    let check = |act: &str, body: Value, code: &str, part: &str| {
        let answer = world.post(&format!("/v1/messages/{act}"), &body);
        assert_eq!(answer.problem(), code, "{act} {body}: {answer:?}");
        assert!(answer.body.contains(part), "{act} {body}: `{part}` is not in {answer:?}");
    };
    check("cancel", json!({"filter": {}}), "filter-empty", "every message");
    check("cancel", json!({"filter": {"state": "sent"}}), "state-unfit", "scheduled, queued, waiting, held");
    check("release", json!({"filter": {"state": "queued"}}), "state-unfit", "held");
    check("hold", json!({"filter": {"state": "queued"}, "rate": "5/s"}), "unreadable", "retry");
    check("cancel", json!({"filter": {"chanel": "orders"}}), "unreadable", "chanel");
    check("cancel", json!({"filter": {"channel": "orders"}, "cursor": "1.2.3"}), "cursor-invalid", "without one");
    check("cancel", json!({"filter": {"older_than": "x"}}), "time-invalid", "2h");
    assert_eq!(world.tidings(&["messages", "cancel"]).code, 2);
    assert_eq!(world.tidings(&["messages", "cancel", "msg_1", "--state", "queued"]).code, 2);
    assert_eq!(world.tidings(&["messages", "release", "--rate", "5/s", "--state", "held"]).code, 2);
}
