//! The record of changes: who did what, when, why.

use serde_json::{Value, json};

use crate::harness::{World, on_each_store};

on_each_store! {
    every_change_of_an_operator_is_in_the_record_with_who_and_why,
    what_changed_nothing_is_not_in_the_record,
    the_record_is_filtered_paged_and_survives_a_crash,
    a_name_that_is_none_is_not_taken_from_the_header,
    a_bulk_act_is_one_entry_with_its_filter_and_count,
}

/// Who, act, subject, why and count of each entry, newest first.
fn told(page: &Value) -> Vec<String> {
    let text = |entry: &Value, name: &str| match &entry[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let line = |entry: &Value| ["who", "act", "subject", "why", "count"].map(|name| text(entry, name)).join(" | ");
    page["items"].as_array().unwrap().iter().map(line).collect()
}

fn every_change_of_an_operator_is_in_the_record_with_who_and_why() {
    let world = World::running();
    let id = world.send("order-paid", "o-alice", "1");
    world.until(&id, "waiting");
    world.ok(&["channels", "pause", "orders", "--reason", "WeChat is down"]);
    world.ok(&["channels", "resume", "orders"]);
    world.ok(&["messages", "cancel", &id, "--note", "asked for by the shop"]);
    assert_eq!(world.post(&format!("/v1/messages/{id}/retry"), &json!({})).status, 200);
    assert_eq!(world.post(&format!("/v1/messages/{id}/hold"), &json!({"reason": "not now"})).status, 200);
    assert_eq!(world.post(&format!("/v1/messages/{id}/release"), &json!({})).status, 200);
    world.ok(&["tokens", "refresh", "shop", "--reason", "the secret was reset"]);

    let told = told(&world.ok_json(&["audit", "list", "--json"]));
    let expected = [
        "local (tester) | token.refresh | shop | the secret was reset | null".to_owned(),
        // These came without the command line: nobody said who sat there.
        format!("local | message.release | {id} | null | 1"),
        format!("local | message.hold | {id} | not now | 1"),
        format!("local | message.retry | {id} | null | 1"),
        format!("local (tester) | message.cancel | {id} | asked for by the shop | 1"),
        "local (tester) | channel.resume | orders | null | null".to_owned(),
        "local (tester) | channel.pause | orders | WeChat is down | null".to_owned(),
    ];
    assert_eq!(told, expected);

    // The message tells of its own, in the order in which it happened.
    let acts: Vec<Value> = world.message(&id)["acts"].as_array().unwrap().iter().map(|it| it["act"].clone()).collect();
    assert_eq!(acts, ["message.cancel", "message.retry", "message.hold", "message.release"]);
    let shown = world.ok(&["messages", "show", &id]);
    assert!(shown.contains("message.cancel  by local (tester): asked for by the shop"), "{shown}");
}

fn what_changed_nothing_is_not_in_the_record() {
    let world = World::running();
    let id = world.send("order-paid", "o-alice", "1");
    world.until(&id, "waiting");
    assert_eq!(world.post("/v1/messages/msg_99/cancel", &json!({})).status, 404);
    assert_eq!(world.post(&format!("/v1/messages/{id}/release"), &json!({})).status, 409);
    assert_eq!(world.post("/v1/channels/nowhere/pause", &json!({})).status, 404);
    let long = "x".repeat(2000);
    let refused = world.post("/v1/channels/orders/pause", &json!({ "reason": long }));
    assert_eq!((refused.status, refused.problem().as_str()), (422, "note-too-long"));
    assert_eq!(world.post("/v1/messages/retry", &json!({"filter": {"state": "failed"}})).json()["moved"], 0);
    assert_eq!(told(&world.ok_json(&["audit", "list", "--json"])), Vec::<String>::new());
    assert_eq!(world.ok_json(&["channels", "list", "--json"])[0]["state"], "open");
}

fn the_record_is_filtered_paged_and_survives_a_crash() {
    let world = World::running();
    world.ok(&["channels", "pause", "orders"]);
    world.ok(&["channels", "pause", "news"]);
    world.ok(&["channels", "resume", "news"]);
    world.kill();
    world.run();
    let list = |args: &[&str]| world.ok_json(&[&["audit", "list", "--json"], args].concat());
    let count = |args: &[&str]| list(args)["items"].as_array().unwrap().len();
    assert_eq!(count(&[]), 3);
    assert_eq!(count(&["--subject", "news"]), 2);
    assert_eq!(count(&["--act", "channel.resume"]), 1);
    assert_eq!(count(&["--act", "channel"]), 3);
    assert_eq!(count(&["--who", "local (tester)", "--since", "1h"]), 3);
    assert_eq!(count(&["--who", "billing"]), 0);
    assert_eq!(count(&["--since", "2100-01-01T00:00:00Z"]), 0);
    let first = list(&["--limit", "2"]);
    let second = list(&["--limit", "2", "--cursor", first["next"].as_str().unwrap()]);
    assert_eq!(told(&second), ["local (tester) | channel.pause | orders | null | null"]);
    let table = world.ok(&["audit", "list"]);
    assert!(table.starts_with("AT") && table.contains("channel.resume"), "{table}");
    assert_eq!(world.get("/v1/audit?since=yesterday").problem(), "time-invalid");
    assert_eq!(world.get("/v1/audit?actor=x").problem(), "unreadable");
}

fn a_name_that_is_none_is_not_taken_from_the_header() {
    let world = World::running();
    let pause = |name: &str| world.http("POST", "/v1/channels/orders/pause", &[("tidings-user", name)], "");
    for name in ["eve)", "a b", "local (root"] {
        assert_eq!(pause(name).status, 200);
    }
    let page = world.ok_json(&["audit", "list", "--json"]);
    assert!(page["items"].as_array().unwrap().iter().all(|entry| entry["who"] == "local"), "{page:#}");
}

fn a_bulk_act_is_one_entry_with_its_filter_and_count() {
    let world = World::running();
    let orders = crate::harness::orders(&crate::harness::users(5));
    world.faults(json!([{"kind": "errcode", "errcode": 47001, "api": "official_template"}]));
    world.send_many("notice", &orders);
    world.wait("all of them failed", || (world.counts().failed == 5).then_some(()));
    world.ok(&["messages", "retry", "--state", "failed", "--channel", "alerts", "--note", "fixed", "--yes"]);
    let page = world.ok_json(&["audit", "list", "--json"]);
    assert_eq!(told(&page), ["local (tester) | message.retry | messages | fixed | 5"]);
    assert_eq!(page["items"][0]["detail"], "state=failed channel=alerts");
}
