//! What stopped short of being sent: by reason, and sent again in bulk at a rate.

use serde_json::{Value, json};

use crate::harness::{World, message, on_each_store, orders, users};

on_each_store! {
    messages_that_failed_are_shown_by_reason_and_listed_by_it,
    a_plan_says_what_would_be_done_and_changes_nothing,
    many_are_sent_again_at_the_rate_and_a_crash_in_between_loses_and_doubles_none,
    a_bulk_retry_is_for_what_was_planned_and_not_for_what_fails_meanwhile,
    more_than_one_call_moves_take_several_and_the_rate_goes_on,
    messages_that_may_have_arrived_are_retried_only_by_name_and_with_a_warning,
    a_bulk_retry_that_cannot_be_is_refused_with_a_reason,
    a_note_that_is_too_long_is_refused_and_nothing_moves,
}

/// So many messages that WeChat refuses for good, each about its own order.
fn failed(world: &World, count: usize) -> Vec<(String, String)> {
    let orders = orders(&users(count));
    world.faults(json!([{"kind": "errcode", "errcode": 47001, "api": "official_template"}]));
    world.send_many("notice", &orders);
    world.wait("all of them failed", || (world.counts().failed == i64::try_from(count).unwrap()).then_some(()));
    world.faults(json!([]));
    orders
}

/// The one reason there is.
fn reason(world: &World) -> String {
    let reasons = world.ok_json(&["messages", "reasons", "--state", "failed", "--json"]);
    assert_eq!(reasons["items"].as_array().unwrap().len(), 1, "{reasons:#}");
    reasons["items"][0]["reason"].as_str().unwrap().to_owned()
}

fn messages_that_failed_are_shown_by_reason_and_listed_by_it() {
    let world = World::running();
    failed(&world, 3);
    let id = world.send("order-paid", "o-alice", "1");
    world.until(&id, "waiting");
    assert_eq!(world.post(&format!("/v1/messages/{id}/hold"), &json!({})).status, 200);

    let reason = reason(&world);
    let table = world.ok(&["messages", "reasons"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("CHANNEL") && lines.len() == 3, "{table}");
    for part in ["alerts", "failed", &reason, "notice", "3", "msg_3"] {
        assert!(lines[1].split_whitespace().any(|word| word == part), "`{part}` is not in {table}");
    }
    assert!(lines[2].starts_with("orders") && lines[2].ends_with(&id), "{table}");
    let orders = world.ok_json(&["messages", "reasons", "--channel", "orders", "--json"]);
    assert_eq!((&orders["items"][0]["reason"], &orders["items"][1]), (&json!("held"), &Value::Null));

    let count = |args: &[&str]| {
        let page = world.ok_json(&[&["messages", "list", "--json"], args].concat());
        page["items"].as_array().unwrap().len()
    };
    assert_eq!(count(&["--state", "failed", "--reason", &reason]), 3);
    assert_eq!(count(&["--state", "failed", "--reason", "no_such_reason"]), 0);
    let alone = world.tidings(&["messages", "list", "--reason", &reason]);
    assert!(alone.code == 2 && alone.err.contains("--state"), "{alone:?}");
    let wrong = world.tidings(&["messages", "reasons", "--state", "sent"]);
    assert!(wrong.code == 1 && wrong.err.contains("held, failed, unknown, expired, cancelled"), "{wrong:?}");
    assert_eq!(world.get("/v1/messages/reasons?stat=failed").problem(), "unreadable");
    assert_eq!(world.get("/v1/messages?reason=x").problem(), "unreadable");
}

fn a_plan_says_what_would_be_done_and_changes_nothing() {
    let world = World::running();
    failed(&world, 7);
    let reason = reason(&world);
    let said = world.tidings(&["messages", "retry", "--state", "failed", "--channel", "alerts", "--reason", &reason]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.starts_with(&format!("7 messages: failed, channel alerts, reason {reason}\n")), "{said:?}");
    assert_eq!(said.out.matches("msg_").count(), 5, "{said:?}");
    assert!(said.out.contains("at 50/s") && !said.out.contains("twice"), "{said:?}");
    assert!(said.err.contains("nothing was changed") && said.err.contains("--yes"), "{said:?}");
    let slow = world.ok_json(&["messages", "retry", "--state", "failed", "--rate", "1/m", "--json"]);
    assert_eq!((&slow["count"], &slow["takes_s"], &slow["rate"]), (&json!(7), &json!(420), &json!("1/m")));
    let none = world.ok_json(&["messages", "retry", "--state", "failed", "--template", "order-paid", "--json"]);
    assert_eq!((&none["count"], &none["sample"]), (&json!(0), &json!([])));
    assert_eq!((world.counts().failed, world.counts().scheduled), (7, 0));
}

fn many_are_sent_again_at_the_rate_and_a_crash_in_between_loses_and_doubles_none() {
    let world = World::running();
    let orders = failed(&world, 40);
    let out =
        world.ok(&["messages", "retry", "--state", "failed", "--rate", "20/s", "--note", "the bug is fixed", "--yes"]);
    assert!(out.starts_with("40 messages are sent again at 20/s; the last goes at 20"), "{out}");
    assert_eq!(world.counts().failed, 0);
    let last = world.message("msg_40");
    assert_eq!((&last["state"], &last["detail"]), (&json!("scheduled"), &json!("the bug is fixed")), "{last:#}");
    world.wait("a few are out", || (world.deliveries().len() > 4).then_some(()));
    let early = world.deliveries().len();
    world.kill();
    assert!(early < 40, "all of them went at once");
    world.run();
    world.until_sent(40);
    for (_, order) in &orders {
        assert_eq!(world.arrived(order), 1, "{order}");
    }
    // The times are the message's own: evenly spread, whatever the engine did meanwhile.
    let mut due: Vec<String> = Vec::new();
    let page = world.ok_json(&["messages", "list", "--json"]);
    for item in page["items"].as_array().unwrap() {
        due.push(item["due_at"].as_str().unwrap().to_owned());
    }
    due.sort();
    due.dedup();
    assert_eq!(due.len(), 40, "each has a time of its own: {due:?}");
}

fn a_bulk_retry_is_for_what_was_planned_and_not_for_what_fails_meanwhile() {
    let world = World::running();
    failed(&world, 3);
    let filter = json!({"state": "failed", "channel": "alerts"});
    let plan = world.post("/v1/messages/retry", &json!({"filter": filter, "plan": true})).json();
    assert_eq!(plan["count"], 3, "{plan:#}");
    // They fail again, and another one does: none of that is in the plan.
    world.faults(json!([{"kind": "errcode", "errcode": 47001, "api": "official_template"}]));
    let other = world.send("notice", "o-other", "other");
    world.until(&other, "failed");
    let request = json!({"filter": filter, "rate": "1000/s", "cursor": plan["next"]});
    let reply = world.post("/v1/messages/retry", &request).json();
    assert_eq!((&reply["moved"], &reply["left"], &reply["next"]), (&json!(3), &json!(0), &Value::Null), "{reply:#}");
    world.wait("they failed again", || (world.counts().failed == 4).then_some(()));
    let again = world.post("/v1/messages/retry", &json!({"filter": filter, "rate": "1/d"})).json();
    assert_eq!(again["moved"], 4, "a new call is for all of them: {again:#}");
}

fn more_than_one_call_moves_take_several_and_the_rate_goes_on() {
    let world = World::running();
    world.ok(&["channels", "pause", "alerts"]);
    let orders = orders(&users(10_200));
    for chunk in orders.chunks(1000) {
        let line = |(to, order): &(String, String)| {
            let mut line = message("notice", to, order);
            line["expires_at"] = "+1s".into();
            line.to_string()
        };
        let lines: Vec<String> = chunk.iter().map(line).collect();
        let answer = world.http("POST", "/v1/messages/bulk", &[], &lines.join("\n"));
        assert_eq!(answer.body.matches("\"accepted\"").count(), chunk.len(), "{answer:?}");
    }
    world.wait("all of them expired", || (world.counts().expired == 10_200).then_some(()));
    let begun = std::time::SystemTime::now();
    let said = world.tidings(&["messages", "retry", "--state", "expired", "--rate", "100/s", "--yes", "--json"]);
    assert_eq!((said.code, said.json()["moved"].as_u64()), (0, Some(10_200)), "{said:?}");
    assert!(said.err.contains("10000 of 10200 have") && said.err.contains("10200 of 10200 have"), "{said:?}");
    let last = said.json()["last_due_at"].as_str().unwrap().to_owned();
    let last = tidings_model::Timestamp::from_rfc3339(&last).unwrap().0;
    let begun = i64::try_from(begun.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()).unwrap();
    assert!(last - begun >= 101_990, "the second call went on where the first stopped: {} ms", last - begun);
    assert_eq!(world.counts().expired, 0);
}

fn messages_that_may_have_arrived_are_retried_only_by_name_and_with_a_warning() {
    let world = World::running();
    // A reply that is lost after the message arrived, outside the window of its dedupe id, ends as unknown.
    let answer = world.post_form("wechat.subscription", "openId=o-alice&template_id=SUB0001-order-shipped");
    assert_eq!(answer.status, 200, "{answer:?}");
    world.control().grant(tidings_wechat_sandbox::DEFAULT_APPID, "o-alice", "SUB0001-order-shipped", 2).unwrap();
    world.faults(json!([{"kind": "drop_reply", "api": "subscribe", "times": 1}]));
    let id = world.send("order-shipped", "o-alice", "1");
    world.until(&id, "unknown");

    let said = world.tidings(&["messages", "retry", "--state", "unknown"]);
    assert!(said.code == 0 && said.out.contains("may have arrived already") && said.out.contains("twice"), "{said:?}");
    assert_eq!(world.message(&id)["state"], "unknown");
    // Nobody reaches them without saying so.
    assert_eq!(world.tidings(&["messages", "retry", "--channel", "news", "--yes"]).code, 2);
    assert_eq!(world.post("/v1/messages/retry", &json!({"filter": {"channel": "news"}})).problem(), "unreadable");
    let failed = world.post("/v1/messages/retry", &json!({"filter": {"state": "failed"}})).json();
    assert_eq!(failed["moved"], 0, "{failed:#}");
    assert_eq!(world.message(&id)["state"], "unknown");
    let out = world.ok(&["messages", "retry", "--state", "unknown", "--yes"]);
    assert!(out.starts_with("1 messages are sent again"), "{out}");
    assert_ne!(world.message(&id)["state"], "unknown");
}

fn a_bulk_retry_that_cannot_be_is_refused_with_a_reason() {
    let world = World::running();
    let check = |body: Value, code: &str, part: &str| {
        let answer = world.post("/v1/messages/retry", &body);
        assert_eq!(answer.problem(), code, "{body}: {answer:?}");
        assert!(answer.body.contains(part), "{body}: `{part}` is not in {answer:?}");
    };
    check(json!({"filter": {"state": "sent"}}), "state-goes-on", "held, failed");
    check(json!({"filter": {"state": "faild"}}), "unreadable", "failed");
    check(json!({"filter": {"state": "failed"}, "rate": "fast"}), "rate-invalid", "100/s");
    check(json!({"filter": {"state": "failed"}, "cursor": "7"}), "cursor-invalid", "without one");
    check(json!({"filter": {"state": "failed", "recipient": "o-alice"}}), "unreadable", "recipient");
    let both = world.tidings(&["messages", "retry", "msg_1", "--state", "failed"]);
    assert_eq!(both.code, 2, "{both:?}");
}

fn a_note_that_is_too_long_is_refused_and_nothing_moves() {
    let world = World::running();
    let id = world.send("order-paid", "o-alice", "1");
    world.until(&id, "waiting");
    let note = "x".repeat(2000);
    let answer = world.post(&format!("/v1/messages/{id}/cancel"), &json!({ "reason": note }));
    assert_eq!((answer.status, answer.problem().as_str()), (422, "note-too-long"));
    let filter = json!({"state": "failed"});
    let answer = world.post("/v1/messages/retry", &json!({ "filter": filter, "note": note }));
    assert_eq!((answer.status, answer.problem().as_str()), (422, "note-too-long"));
    assert_eq!(world.message(&id)["state"], "waiting");
}
