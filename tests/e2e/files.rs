//! `tidings send --file`: many at once, broken rows, the same file again.

use std::collections::HashMap;

use serde_json::{Value, json};
use tidings_wechat_sandbox::ReplyFate;

use crate::harness::{World, on_each_store, order_of, users};

on_each_store! {
    a_thousand_recipients_are_each_reached_once_while_one_reply_in_twenty_is_lost,
    a_broken_row_is_told_with_its_line_and_the_others_go_on,
    a_row_that_the_engine_refuses_is_told_with_its_line,
    a_file_as_json_has_a_line_for_each_row_and_a_summary,
    a_dry_run_of_a_file_checks_every_row_and_sends_none,
    a_file_with_large_rows_gets_through,
    a_file_sent_under_another_key_is_another_request,
}

/// Permits for users as a file, the way an operator moves them.
fn add_permits(world: &World, users: &[String]) {
    let lines: Vec<String> =
        users.iter().map(|user| json!({"form_id": world.mint(user), "openId": user}).to_string()).collect();
    world.write("permits.ndjson", lines.join("\n"));
    let out = world.ok(&["credentials", "add", "wechat.form_id", "--file", "permits.ndjson"]);
    assert_eq!(out.trim(), format!("{} accepted, 0 refused", users.len()));
}

fn a_thousand_recipients_are_each_reached_once_while_one_reply_in_twenty_is_lost() {
    let world = World::running();
    let users = users(1000);
    add_permits(&world, &users);
    world.faults(json!([{"kind": "drop_reply", "api": "template", "every": 20}]));
    let rows: Vec<String> = users.iter().map(|user| format!("{user},已付款,order-of-{user}")).collect();
    world.write("rows.csv", format!("to,title,order.id\n{}\n", rows.join("\n")));
    let said = world.tidings(&["send", "order-paid", "--file", "rows.csv"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(said.out.trim(), "1000 rows: 1000 accepted, 0 accepted before, 0 refused");
    let counts = world.until_sent(1000);
    assert_eq!((counts.failed, counts.unknown, counts.waiting), (0, 0, 0), "{counts:?}");
    check_each_once(&world, &users);
    let dropped = world.deliveries().iter().filter(|delivery| delivery.reply == ReplyFate::Dropped).count();
    assert!(dropped >= 40, "only {dropped} replies were lost");

    // The same file once more is the same request.
    let again = world.tidings(&["send", "order-paid", "--file", "rows.csv"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(again.out.trim(), "1000 rows: 0 accepted, 1000 accepted before, 0 refused");
    assert!(again.err.contains("hint:") && again.err.contains("--key"), "{again:?}");
    let counts = world.counts();
    assert_eq!((counts.sent, counts.queued + counts.sending + counts.waiting), (1000, 0), "{counts:?}");
    assert_eq!(world.deliveries().len(), 1000);
}

fn check_each_once(world: &World, users: &[String]) {
    let mut arrived: HashMap<String, u32> = HashMap::new();
    for delivery in world.deliveries() {
        assert_eq!(order_of(&delivery), format!("order-of-{}", delivery.openid), "a mix-up");
        *arrived.entry(delivery.openid).or_default() += 1;
    }
    let lost: Vec<&String> = users.iter().filter(|user| !arrived.contains_key(*user)).collect();
    let doubled: Vec<_> = arrived.iter().filter(|(_, count)| **count > 1).collect();
    assert!(lost.is_empty() && doubled.is_empty(), "lost: {lost:?}, doubled: {doubled:?}");
}

fn a_broken_row_is_told_with_its_line_and_the_others_go_on() {
    let world = World::running();
    let users = users(3);
    add_permits(&world, &users);
    let mut rows = b"to,title,order.id\no-user-0001,a,1\no-user-0002,b\n,c,3\no-user-0002,b,2\n".to_vec();
    rows.extend_from_slice(b"o-user-0003,\xff\xfe,4\no-user-0003,\"c, \"\"quoted\"\"\",3\n");
    world.write("rows.csv", rows);
    let said = world.tidings(&["send", "order-paid", "--file", "rows.csv"]);
    assert_eq!((said.code, said.out.trim()), (0, "6 rows: 3 accepted, 0 accepted before, 3 refused"), "{said:?}");
    assert!(said.err.contains("line 3: expected 3 columns, found 2"), "{said:?}");
    assert!(said.err.contains("line 4: ") && said.err.contains("line 6: is not UTF-8"), "{said:?}");
    world.until_sent(3);
    assert_eq!(world.arrived("3"), 1);
}

fn a_row_that_the_engine_refuses_is_told_with_its_line() {
    let world = World::running();
    world.write("rows.ndjson", concat!(
        "{\"to\":\"o-alice\",\"data\":{\"title\":\"x\",\"order\":{\"id\":\"1\"}}}\n",
        "{\"to\":\"o-alice\",\"data\":{\"title\":\"x\"}}\n",
        "\n",
        "{\"to\":\"o-alice\",\"data\":{\"title\":\"a title of more than twenty characters\",\"order\":{\"id\":\"2\"}}}\n",
        "{\"to\":\"o-alice\",\"extra\":1}\n",
        "nonsense\n",
    ));
    let said = world.tidings(&["send", "order-shipped", "--file", "rows.ndjson"]);
    assert_eq!((said.code, said.out.trim()), (0, "5 rows: 1 accepted, 0 accepted before, 4 refused"), "{said:?}");
    for line in ["line 2: ", "line 4: ", "line 5: unknown member `extra`", "line 6: is no JSON object"] {
        assert!(said.err.contains(line), "`{line}` is not in {}", said.err);
    }
    assert!(said.err.contains("order") && said.err.contains("thing2"), "{}", said.err);
}

fn a_file_as_json_has_a_line_for_each_row_and_a_summary() {
    let world = World::running();
    world.write("rows.csv", "to,title,order.id\no-alice,a,1\no-bob,b\n");
    let said = world.tidings(&["send", "order-paid", "--file", "rows.csv", "--json"]);
    let lines: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{said:?}");
    let of_line = |line: u64| lines.iter().find(|value| value["line"] == line).unwrap();
    assert!(of_line(2)["id"].as_str().unwrap().starts_with("msg_"), "{said:?}");
    assert!(of_line(3)["problem"].as_str().unwrap().contains("columns"), "{said:?}");
    assert_eq!(lines[2], json!({"rows": 2, "accepted": 1, "repeated": 0, "refused": 1}));
}

#[test]
fn a_file_of_nothing_but_broken_rows_is_a_failure() {
    let world = World::running();
    world.write("rows.csv", "to,title,order.id\no-alice\no-bob\n");
    let said = world.tidings(&["send", "order-paid", "--file", "rows.csv"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("no row could be sent"), "{said:?}");
}

#[test]
fn a_file_that_cannot_be_used_says_why() {
    let world = World::running();
    world.write("rows.csv", "name,title\no-alice,x\n");
    world.write("rows.txt", "to\no-alice\n");
    for (file, reason) in [("rows.csv", "`to`"), ("rows.txt", ".ndjson"), ("none.csv", "none.csv")] {
        let said = world.tidings(&["send", "order-paid", "--file", file]);
        assert_ne!(said.code, 0, "{said:?}");
        assert!(said.err.starts_with("error: ") && said.err.contains(reason), "{file}: {said:?}");
    }
    assert_eq!(world.counts().waiting + world.counts().queued, 0);
}

fn a_dry_run_of_a_file_checks_every_row_and_sends_none() {
    let world = World::running();
    world.write("rows.csv", "to,title,order.id\no-alice,a,1\no-bob,b\no-carl,c,3\n");
    let said = world.tidings(&["send", "order-paid", "--file", "rows.csv", "--dry-run"]);
    assert_eq!((said.code, said.out.trim()), (0, "3 rows: 2 would be accepted, 0 accepted before, 1 refused"));
    assert!(said.err.contains("line 3: "), "{said:?}");
    assert_eq!(world.ok_json(&["messages", "list", "--json"])["items"], json!([]));
}

fn a_file_with_large_rows_gets_through() {
    let world = World::running();
    let title = "x".repeat(30_000);
    let rows: Vec<String> = (0..400).map(|row| format!("o-alice,{title},order-{row}")).collect();
    world.write("rows.csv", format!("to,title,order.id\n{}\n", rows.join("\n")));
    let said = world.tidings(&["send", "order-paid", "--file", "rows.csv"]);
    assert_eq!((said.code, said.out.trim()), (0, "400 rows: 400 accepted, 0 accepted before, 0 refused"), "{said:?}");
}

fn a_file_sent_under_another_key_is_another_request() {
    let world = World::running();
    world.write("rows.csv", "to,title,order.id\no-alice,a,1\n");
    for (key, expected) in [("k1", "1 accepted, 0 accepted"), ("k1", "0 accepted, 1 accepted"), ("k2", "1 accepted, 0")]
    {
        let out = world.ok(&["send", "order-paid", "--file", "rows.csv", "--key", key]);
        assert!(out.contains(expected), "{key}: {out}");
    }
}
