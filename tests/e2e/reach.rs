//! Who can be reached: for one recipient by template, and for a template in how many days.

use serde_json::{Value, json};

use crate::harness::{World, on_each_store, seconds_ago};

on_each_store! {
    a_recipient_is_within_reach_as_often_as_there_are_permits_and_until_the_last_can_be_used,
    why_a_recipient_is_out_of_reach_is_told_by_name,
    a_permit_that_a_message_holds_is_told_with_its_message,
    a_forecast_counts_people_today_and_in_a_week_and_says_what_runs_out_when,
}

fn item(world: &World, recipient: &str, template: &str) -> Value {
    let answer = world.get(&format!("/v1/reachability/{recipient}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let items = answer.json()["items"].as_array().unwrap().clone();
    items.into_iter().find(|item| item["template"] == template).unwrap()
}

fn code(item: &Value) -> &str {
    item["obstacles"][0]["code"].as_str().unwrap_or("none")
}

fn a_recipient_is_within_reach_as_often_as_there_are_permits_and_until_the_last_can_be_used() {
    let world = World::running();
    assert_eq!(code(&item(&world, "o-alice", "order-paid")), "no-permit");
    world.permit("o-alice");
    world.permit("o-alice");
    let found = item(&world, "o-alice", "order-paid");
    assert_eq!((&found["reachable"], &found["sends"]), (&json!(true), &json!(2)), "{found}");
    // A form_id lives for seven days and is not bound on its last.
    let (until, end) = (&found["permits"][1]["until"], &found["permits"][1]["expires_at"]);
    assert_eq!((&found["until"], found["permits"][0]["source"].as_str()), (until, Some("wechat.form_id")), "{found}");
    assert!(until.as_str() < end.as_str(), "{found}");
    let id = world.send("order-paid", "o-alice", "1");
    world.until(&id, "sent");
    assert_eq!(item(&world, "o-alice", "order-paid")["sends"], 1);
    // Nobody's permit is anybody else's, and what needs none has no count.
    assert_eq!(item(&world, "o-bob", "order-paid")["sends"], 0);
    let free = item(&world, "o-bob", "notice");
    assert_eq!((&free["reachable"], &free["sends"]), (&json!(true), &Value::Null), "{free}");
}

fn why_a_recipient_is_out_of_reach_is_told_by_name() {
    let world = World::running();
    let waits = world.send("order-paid", "o-alice", "1");
    world.until(&waits, "waiting");
    let found = item(&world, "o-alice", "order-paid");
    assert_eq!((code(&found), &found["waiting"]), ("no-permit", &json!(1)), "{found}");
    world.ok(&["channels", "pause", "alerts", "--reason", "for the night"]);
    let found = item(&world, "o-alice", "notice");
    assert_eq!(code(&found), "channel-paused", "{found}");
    assert!(found["obstacles"][0]["detail"].as_str().unwrap().contains("for the night"), "{found}");
    let unknown = world.get("/v1/reachability/o-alice?template=order-pad");
    assert_eq!((unknown.status, unknown.problem().as_str()), (404, "template-unknown"));
    assert!(unknown.body.contains("order-paid"), "{unknown:?}");
    assert_eq!(world.get("/v1/reachability/o-alice?tempalte=x").status, 400);
    let said = world.ok(&["reachability", "o-alice"]);
    assert!(said.contains("order-paid") && said.contains("paused: for the night"), "{said}");
    let one = world.ok_json(&["reachability", "o-alice", "--template", "notice", "--json"]);
    assert_eq!(one["items"].as_array().unwrap().len(), 1, "{one}");
}

fn a_permit_that_a_message_holds_is_told_with_its_message() {
    let world = World::running();
    world.permit("o-alice");
    world.faults(json!([{"kind": "latency", "api": "template", "ms": 4000}]));
    let id = world.send("order-paid", "o-alice", "1");
    world.until(&id, "sending");
    let found = item(&world, "o-alice", "order-paid");
    assert_eq!((&found["bound"], &found["sends"]), (&json!([id]), &json!(0)), "{found}");
    world.control().clear_faults();
}

fn a_forecast_counts_people_today_and_in_a_week_and_says_what_runs_out_when() {
    let world = World::running();
    // Alice has two that end together, Bob one that ends two days sooner, Carol only one on its last day.
    for (user, days) in [("o-alice", 0), ("o-alice", 0), ("o-bob", 2)] {
        let form_id = world.mint(user);
        let at = seconds_ago(days * 86_400);
        let answer = world.post_form("wechat.form_id", &format!("form_id={form_id}&openId={user}&created_at={at}"));
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let late = seconds_ago(6 * 86_400 + 3600);
    let answer = world.post_form("wechat.form_id", &format!("form_id=F-late&openId=o-carol&created_at={late}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let said = world.ok(&["credentials", "forecast", "order-paid"]);
    assert!(said.contains("`order-paid` reaches 2 people with 3 sends"), "{said}");
    let found = world.get("/v1/credentials/forecast?template=order-paid").json();
    let one = &found["items"][0];
    assert_eq!((&one["people"], &one["sends"], &one["people_in_a_week"]), (&json!(2), &json!(3), &json!(0)), "{one}");
    let lost: Vec<(&Value, &Value)> =
        one["days"].as_array().unwrap().iter().map(|day| (&day["people_lost"], &day["people"])).collect();
    assert_eq!(lost, [(&json!(1), &json!(1)), (&json!(1), &json!(0))], "{one}");
    let all = world.get("/v1/credentials/forecast").json();
    assert_eq!(all["items"].as_array().unwrap().len(), 3, "{all}");
    let notice = all["items"].as_array().unwrap().iter().find(|item| item["template"] == "notice").unwrap();
    assert_eq!((&notice["needs_permit"], &notice["people"]), (&json!(false), &json!(0)), "{notice}");
    let table = world.ok(&["credentials", "forecast"]);
    assert!(table.contains("everybody") && table.contains("IN A WEEK"), "{table}");
    assert_eq!(world.get("/v1/credentials/forecast?template=no").status, 404);
}
