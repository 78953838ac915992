//! Recipients who are told nothing.

use serde_json::{Value, json};

use crate::harness::{World, message, on_each_store};

on_each_store! {
    a_suppressed_recipient_is_refused_alone_in_bulk_and_in_a_dry_run_until_it_is_removed,
    adding_one_withdraws_what_is_not_on_its_way_and_says_how_many,
    a_suppression_that_cannot_be_is_refused_with_a_reason,
    what_comes_back_from_an_attempt_or_is_retried_is_not_sent_to_somebody_who_is_suppressed_since,
}

fn a_suppressed_recipient_is_refused_alone_in_bulk_and_in_a_dry_run_until_it_is_removed() {
    let world = World::running();
    let out = world.ok(&["suppressions", "add", "shop", "o-alice", "--reason", "asked us to stop"]);
    assert!(out.contains("asked us to stop") && out.contains("0 messages"), "{out}");
    for path in ["/v1/messages", "/v1/messages?dry_run=true"] {
        let refused = world.post(path, &message("notice", "o-alice", "1"));
        assert_eq!((refused.status, refused.problem().as_str()), (422, "recipient-suppressed"), "{path}: {refused:?}");
        assert!(!refused.body.contains("asked us"), "a sender is not told what operators say: {refused:?}");
    }
    let lines: Vec<String> = ["o-alice", "o-ben"].iter().map(|to| message("notice", to, "1").to_string()).collect();
    let answer = world.http("POST", "/v1/messages/bulk", &[], &lines.join("\n"));
    let told: Vec<Value> = answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(told[0]["problem"]["type"].as_str().unwrap().ends_with("recipient-suppressed"), "{answer:?}");
    assert!(told[1]["accepted"]["id"].is_string(), "{answer:?}");

    world.ok(&["suppressions", "remove", "shop", "o-alice", "--reason", "came back"]);
    let id = world.send("notice", "o-alice", "2");
    world.until(&id, "sent");
    let acts = world.ok_json(&["audit", "list", "--act", "suppression", "--json"]);
    let acts: Vec<(&Value, &Value)> =
        acts["items"].as_array().unwrap().iter().map(|entry| (&entry["act"], &entry["why"])).collect();
    let expected =
        [(&json!("suppression.remove"), &json!("came back")), (&json!("suppression.add"), &json!("asked us to stop"))];
    assert_eq!(acts, expected);
}

fn adding_one_withdraws_what_is_not_on_its_way_and_says_how_many() {
    let world = World::running();
    let ids: Vec<String> = ["1", "2"].iter().map(|order| world.send("order-paid", "o-alice", order)).collect();
    let other = world.send("order-paid", "o-ben", "3");
    for id in ids.iter().chain([&other]) {
        world.until(id, "waiting");
    }
    let body = json!({"app": "shop", "recipient": "o-alice", "expires_at": "+1d"});
    let reply = world.post("/v1/suppressions", &body).json();
    assert_eq!((&reply["cancelled"], &reply["suppression"]["who"]), (&json!(2), &json!("local")), "{reply:#}");
    for id in &ids {
        let message = world.message(id);
        assert_eq!((&message["state"], &message["reason"]), (&json!("cancelled"), &json!("suppressed")));
    }
    assert_eq!(world.message(&other)["state"], "waiting");
    world.kill();
    world.run();
    let list = world.ok_json(&["suppressions", "list", "--app", "shop", "--json"]);
    assert_eq!(list["items"][0]["recipient"], "o-alice", "{list:#}");
    assert_eq!(world.post("/v1/messages", &message("notice", "o-alice", "4")).problem(), "recipient-suppressed");
}

fn a_suppression_that_cannot_be_is_refused_with_a_reason() {
    let world = World::running();
    let post = |body: Value| world.post("/v1/suppressions", &body).problem();
    assert_eq!(post(json!({"app": "shap", "recipient": "o-alice"})), "app-unknown");
    assert_eq!(post(json!({"app": "shop", "recipient": ""})), "recipient-invalid");
    assert_eq!(post(json!({"app": "shop", "recipient": "a", "expires_at": "2020-01-01T00:00:00Z"})), "expired");
    assert_eq!(post(json!({"app": "shop", "recipient": "a", "expires_at": "+9000d"})), "time-invalid");
    let remove = world.http("DELETE", "/v1/suppressions?app=shop&recipient=o-alice", &[], "");
    assert_eq!((remove.status, remove.problem().as_str()), (404, "suppression-unknown"));
    assert_eq!(world.http("DELETE", "/v1/suppressions?app=shop", &[], "").problem(), "unreadable");
}

fn what_comes_back_from_an_attempt_or_is_retried_is_not_sent_to_somebody_who_is_suppressed_since() {
    let world = World::running();
    world.faults(json!([{"kind": "errcode", "errcode": 47001, "api": "official_template"}]));
    let ids: Vec<String> = ["1", "2"].iter().map(|order| world.send("notice", "o-alice", order)).collect();
    for id in &ids {
        world.until(id, "failed");
    }
    world.faults(json!([{"kind": "errcode", "errcode": -1, "api": "official_template"}]));
    let tried = world.send("notice", "o-alice", "3");
    world.wait("it was tried once", || (world.message(&tried)["attempts"] != json!(0)).then_some(()));
    world.ok(&["suppressions", "add", "shop", "o-alice", "--reason", "asked us to stop"]);
    world.faults(json!([]));
    world.until(&tried, "cancelled");

    let refused = world.post(&format!("/v1/messages/{}/retry", ids[0]), &json!({}));
    assert_eq!((refused.status, refused.problem().as_str()), (422, "recipient-suppressed"), "{refused:?}");
    assert_eq!(world.message(&ids[0])["state"], "failed");
    world.ok(&["messages", "retry", "--state", "failed", "--yes"]);
    for id in &ids {
        let message = world.until(id, "cancelled");
        assert_eq!(message["reason"], "suppressed", "{message:#}");
        assert!(message["detail"].as_str().unwrap().contains("its recipient is suppressed"), "{message:#}");
    }
    assert_eq!(world.deliveries().len(), 0, "nothing arrived");
}
