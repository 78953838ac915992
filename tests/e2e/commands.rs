//! `send` of one message and the commands that look and act.

use serde_json::{Value, json};

use crate::harness::{World, on_each_store};

on_each_store! {
    one_message_is_sent_with_data_from_the_command_line,
    a_key_makes_the_same_request_once_and_another_request_a_conflict,
    what_cannot_be_sent_is_refused_before_it_is_accepted,
    a_message_for_later_is_scheduled_and_can_be_cancelled,
    a_message_for_soon_goes_out_when_its_time_has_come,
    a_waiting_message_expires_at_its_time,
    messages_are_shown_one_by_one_and_listed_by_what_is_asked,
    a_paused_channel_takes_and_does_not_send,
    the_apis_own_client_reads_what_the_commands_show,
}

const ONE: [&str; 8] = ["send", "order-paid", "--to", "o-alice", "--data", "title=x", "--data", "order.id=7"];

fn one<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&ONE[..], more].concat()
}

fn one_message_is_sent_with_data_from_the_command_line() {
    let world = World::running();
    world.permit("o-alice");
    let out = world.ok(&one(&[]));
    let (id, state) = out.trim().split_once(' ').unwrap();
    assert_eq!(state, "queued");
    world.until(id, "sent");
    assert_eq!(world.deliveries()[0].page.as_deref(), Some("pages/order/show?id=7"));
}

fn a_key_makes_the_same_request_once_and_another_request_a_conflict() {
    let world = World::running();
    let first = world.ok_json(&one(&["--key", "k-1", "--json"]));
    let again = world.ok_json(&one(&["--key", "k-1", "--json"]));
    assert_eq!((&again["id"], &again["replayed"]), (&first["id"], &json!(true)), "{again}");
    assert!(first["replayed"].is_null(), "{first}");
    let said = world.tidings(&one(&["--key", "k-1"]));
    assert!(said.code == 0 && said.out.contains("accepted before"), "{said:?}");
    let other = world.tidings(&one(&["--key", "k-1", "--data", "title=y"]));
    assert_eq!(other.code, 1, "{other:?}");
    assert!(other.err.contains(first["id"].as_str().unwrap()) && other.err.contains("key"), "{other:?}");
    // The key holds across a restart.
    world.terminate();
    world.run();
    assert_eq!(world.ok_json(&one(&["--key", "k-1", "--json"]))["id"], first["id"]);
    assert_eq!(world.ok_json(&["messages", "list", "--json"])["items"].as_array().unwrap().len(), 1);
}

fn what_cannot_be_sent_is_refused_before_it_is_accepted() {
    let world = World::running();
    let check = |args: &[&str], code: i32, parts: &[&str]| {
        let said = world.tidings(args);
        assert_eq!(said.code, code, "{args:?}: {said:?}");
        assert!(said.out.is_empty() && said.err.starts_with("error: "), "{args:?}: {said:?}");
        for part in parts {
            assert!(said.err.contains(part), "{args:?}: `{part}` is not in {said:?}");
        }
    };
    check(&["send", "order-piad", "--to", "o-alice"], 1, &["order-piad", "order-paid"]);
    check(&["send", "order-paid", "--to", "o-alice", "--data", "title=x"], 1, &["order-paid", "order"]);
    check(&["send", "order-paid", "--to", "", "--data", "title=x", "--data", "order.id=7"], 1, &["recipient"]);
    check(&one(&["--at", "tomorrow"]), 1, &["tomorrow", "+10m"]);
    check(&one(&["--expires", "2020-01-01T00:00:00Z"]), 1, &["expires_at"]);
    check(&one(&["--data", "title.zh=x"]), 2, &["title"]);
    check(&["send", "order-paid", "--to", "o-alice", "--data", "title"], 2, &["--data"]);
    let long = "x".repeat(21);
    let long = format!("title={long}");
    let shipped = ["send", "order-shipped", "--to", "o-alice", "--data", "order.id=7", "--data", &long];
    check(&shipped, 1, &["thing2", "20"]);
    assert_eq!(world.ok_json(&["messages", "list", "--json"])["items"], json!([]));
}

fn a_message_for_later_is_scheduled_and_can_be_cancelled() {
    let world = World::running();
    world.permit("o-alice");
    let reply = world.ok_json(&one(&["--at", "+1h", "--json"]));
    assert_eq!(reply["state"], "scheduled");
    let id = reply["id"].as_str().unwrap();
    assert_eq!(world.message(id)["state"], "scheduled");
    let out = world.ok(&["messages", "cancel", id, "--note", "a mistake"]);
    assert_eq!(out.trim(), format!("{id} cancelled"));
    let message = world.message(id);
    assert!(message.to_string().contains("a mistake"), "{message:#}");
    // Withdrawn is withdrawn; only a retry brings it back.
    let again = world.tidings(&["messages", "cancel", id]);
    assert!(again.code == 1 && again.err.contains("cancelled"), "{again:?}");
    world.ok(&["messages", "retry", id]);
    world.until(id, "sent");
    let late = world.tidings(&["messages", "retry", id, "msg_999999"]);
    assert_eq!(late.code, 1, "{late:?}");
    assert!(late.err.contains("2 of 2 refused") && late.err.contains("msg_999999"), "{late:?}");
    assert_eq!(world.deliveries().len(), 1);
}

fn a_message_for_soon_goes_out_when_its_time_has_come() {
    let world = World::running();
    world.permit("o-alice");
    let reply = world.ok_json(&one(&["--at", "+1s", "--json"]));
    assert_eq!(reply["state"], "scheduled");
    let message = world.until(reply["id"].as_str().unwrap(), "sent");
    assert!(message["finished_at"].as_str().unwrap() >= message["due_at"].as_str().unwrap(), "{message:#}");
}

fn a_waiting_message_expires_at_its_time() {
    let world = World::running();
    let reply = world.ok_json(&one(&["--expires", "+1s", "--json"]));
    let id = reply["id"].as_str().unwrap();
    let message = world.until(id, "expired");
    assert_eq!(message["reason"], "expired", "{message:#}");
    // A permit that comes too late is not spent on it.
    world.permit("o-alice");
    let next = world.ok_json(&one(&["--json"]));
    world.until(next["id"].as_str().unwrap(), "sent");
    assert_eq!(world.deliveries().len(), 1);
}

fn messages_are_shown_one_by_one_and_listed_by_what_is_asked() {
    let world = World::running();
    world.permit("o-alice");
    let sent = world.send("order-paid", "o-alice", "1");
    world.until(&sent, "sent");
    let waiting = world.send("order-paid", "o-bob", "2");
    world.until(&waiting, "waiting");
    let notice = world.send("notice", "o-alice", "3");
    world.until(&notice, "sent");

    let show = world.ok(&["messages", "show", &waiting]);
    for part in [&waiting[..], "waiting", "o-bob", "order-paid", "orders"] {
        assert!(show.contains(part), "`{part}` is not in {show}");
    }
    let json = world.ok_json(&["messages", "show", &waiting, "--json"]);
    assert_eq!(json["data"], json!({"title": "已付款", "order": {"id": "2"}}));

    let ids = |filters: &[&str]| -> String {
        let page = world.ok_json(&[&["messages", "list", "--json"], filters].concat());
        page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ids(&[]), format!("{notice} {waiting} {sent}"));
    assert_eq!(ids(&["--state", "waiting"]), waiting);
    assert_eq!(ids(&["--to", "o-alice", "--channel", "orders"]), sent);
    assert_eq!(ids(&["--template", "notice"]), notice);
    assert_eq!(ids(&["--state", "failed"]), "");
    let table = world.ok(&["messages", "list", "--state", "waiting"]);
    assert!(table.starts_with("ID") && table.lines().count() == 2 && table.contains(&waiting), "{table}");

    // Page by page, without a gap and without an end that is none.
    let first = world.ok_json(&["messages", "list", "--json", "--limit", "2"]);
    let cursor = first["next"].as_str().unwrap();
    assert_eq!(ids(&["--limit", "2", "--cursor", cursor]), sent);
    let said = world.tidings(&["messages", "list", "--limit", "2"]);
    assert!(said.err.contains(&format!("--cursor {cursor}")), "{said:?}");

    for args in [
        &["messages", "list", "--state", "wating"][..],
        &["messages", "show", "msg_x"],
        &["messages", "show", "msg_999"],
    ] {
        let said = world.tidings(args);
        assert!(said.code == 1 && said.err.starts_with("error: "), "{args:?}: {said:?}");
    }
    let wrong = world.tidings(&["messages", "list", "--state", "wating"]);
    assert!(wrong.err.contains("waiting"), "{wrong:?}");
}

fn a_paused_channel_takes_and_does_not_send() {
    let world = World::running();
    world.permit("o-alice");
    let out = world.ok(&["channels", "pause", "orders", "--reason", "stocktaking"]);
    assert!(out.contains("paused") && out.contains("stocktaking"), "{out}");
    let id = world.send("order-paid", "o-alice", "1");
    let notice = world.send("notice", "o-alice", "2");
    world.until(&notice, "sent");
    assert_eq!(world.message(&id)["state"], "queued");
    world.terminate();
    world.run();
    assert_eq!(world.channel("orders")["state"], "paused");
    world.ok(&["channels", "resume", "orders"]);
    world.until(&id, "sent");
    let unknown = world.tidings(&["channels", "pause", "ordres"]);
    assert!(unknown.code == 1 && unknown.err.contains("ordres"), "{unknown:?}");
}

#[test]
fn without_an_engine_each_command_says_so() {
    let world = World::new();
    for args in [&one(&[])[..], &["messages", "list"], &["tokens", "list"], &["credentials", "list"]] {
        let said = world.tidings(args);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.err.contains("tidings run") && said.err.contains("tidings.db.sock"), "{said:?}");
    }
}

fn the_apis_own_client_reads_what_the_commands_show() {
    let world = World::running();
    let id = world.send("notice", "o-alice", "1");
    world.until(&id, "sent");
    let client = world.client();
    let overview = world.wait_on(client.overview()).unwrap();
    assert_eq!((overview.states.sent, overview.channels.len(), overview.draining), (1, 3, false));
    assert!(overview.recent.iter().any(|change| change.id == id && change.state == "sent"));
    let message = world.wait_on(client.message(&id)).unwrap();
    let shown: Value = world.ok_json(&["messages", "show", &id, "--json"]);
    assert_eq!(serde_json::to_value(&message).unwrap(), shown);
    let refused = world.wait_on(client.act(&id, "cancel", None)).unwrap_err().to_string();
    assert!(refused.contains(&id) && refused.contains("sent"), "{refused}");
}
