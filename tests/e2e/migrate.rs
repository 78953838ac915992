//! `tidings migrate`: a store that was in a file goes on in a database, and nothing is lost, doubled or forgotten.

use serde_json::{Value, json};
use tidings_cluster::{Database, fresh_database};

use crate::api::tcp_address;
use crate::harness::{Said, World, http_tcp, message, with_password};

/// A schedule that fires when it is asked to, and an API whose socket has the same name wherever the store is.
const MORE: &str = concat!(
    "[schedules.purge]\ncron = \"0 4 1 1 *\"\njob = \"purge_credentials\"\n",
    "[api]\nsocket = \"tidings.db.sock\"\nlisten = \"127.0.0.1:0\"\nkey = { file = \"tidings.key\", create = true }\n"
);

const FROM: &str = "sqlite://tidings.db";

/// Asks for the move into a database.
fn migrate(world: &World, database: &Database, more: &[&str]) -> Said {
    let to = with_password(database.url());
    world.tidings(&[&["migrate", "--from", FROM, "--to", &to], more].concat())
}

/// Has the world's engine go by the database from now on.
fn go_by(world: &World, database: &Database) {
    world.set("MOVED_TO", &with_password(database.url()));
    world.configure_more("[store]\nurl = { env = \"MOVED_TO\" }\nlease = \"2s\"\n");
}

/// Sends with a key, or at a time, and gives the message's id.
fn send(world: &World, to: &str, order: &str, more: &[&str]) -> String {
    let order = format!("order.id={order}");
    let args = ["send", "notice", "--to", to, "--data", "title=hello", "--data", &order, "--json"];
    world.ok_json(&[&args[..], more].concat())["id"].as_str().unwrap().to_owned()
}

/// Everything that is shown of a store, but for a message that goes on by itself.
fn everything(world: &World, but: &str) -> Value {
    let list = |args: &[&str]| world.ok_json(&[args, &["--json"]].concat());
    let mut messages = list(&["messages", "list", "--limit", "250"])["items"].as_array().unwrap().clone();
    messages.retain(|message| message["id"] != but);
    let whole: Vec<Value> = messages.iter().map(|row| world.message(row["id"].as_str().unwrap())).collect();
    let schedule = list(&["schedules", "show", "purge"]);
    json!({
        "messages": messages,
        "whole": whole,
        "credentials": list(&["credentials", "list"]),
        "token": world.token("shop")["expires_at"],
        "record": list(&["audit", "list", "--limit", "100"]),
        "keys": list(&["keys", "list"]),
        "suppressions": list(&["suppressions", "list", "--app", "shop"]),
        "runs": list(&["runs", "list"]),
        "schedule": [schedule["history"], schedule["paused"], schedule["next_at"]],
        "channels": [world.channel("alerts")["state"], world.channel("orders")["state"], world.channel("news")["state"]],
    })
}

/// The runs of the schedule, newest first.
fn runs(world: &World) -> Vec<Value> {
    world.ok_json(&["runs", "list", "--schedule", "purge", "--json"])["items"].as_array().unwrap().clone()
}

fn run_schedule(world: &World) -> Value {
    let begun = world.ok_json(&["schedules", "run", "purge", "--reason", "now", "--json"])["run"].clone();
    world.wait("the run is done", || {
        runs(world).into_iter().find(|run| run["id"] == begun && run["state"] == "done").map(drop)
    });
    begun
}

#[test]
fn a_store_that_moved_into_a_database_has_everything_and_goes_on_and_what_waited_is_sent_once() {
    let database = fresh_database();
    let world = World::new();
    world.configure_more(MORE);
    world.run();

    // What has ended.
    let used = world.permit("o-alice");
    let sent = world.send("order-paid", "o-alice", "sent");
    world.until(&sent, "sent");
    let keyed = send(&world, "o-alice", "keyed", &["--key", "k-1"]);
    world.until(&keyed, "sent");
    world.faults(json!([{"kind": "errcode", "errcode": 47001, "api": "official_template"}]));
    let failed = world.send("notice", "o-alice", "failed");
    world.until(&failed, "failed");
    world.faults(json!([]));
    let cancelled = world.send("order-paid", "o-nobody", "cancelled");
    world.until(&cancelled, "waiting");
    world.ok(&["messages", "cancel", &cancelled, "--note", "a wrong price"]);
    // What operators did.
    world.ok(&["suppressions", "add", "shop", "o-mallory", "--reason", "asked us to stop"]);
    let key =
        world.ok_json(&["keys", "add", "caller", "--scope", "read", "--json"])["key"].as_str().unwrap().to_owned();
    let run = run_schedule(&world);
    world.ok(&["schedules", "pause", "purge", "--reason", "a quiet hour"]);
    // What has not: it waits for a permit, an operator, a channel, a time. Permits wait for messages.
    let waiting = world.send("order-paid", "o-bob", "waiting");
    world.until(&waiting, "waiting");
    let held = world.send("order-paid", "o-ben", "held");
    world.until(&held, "waiting");
    world.ok(&["messages", "hold", &held, "--note", "ask first"]);
    world.ok(&["channels", "pause", "alerts", "--reason", "we move"]);
    let kept = world.permit("o-carl");
    let queued = world.send("notice", "o-alice", "queued");
    let later = send(&world, "o-alice", "later", &["--at", "+1h"]);
    let soon = send(&world, "o-alice", "soon", &["--at", "+5s"]);
    let before = everything(&world, &soon);
    assert!(world.terminate().success());

    let said = migrate(&world, &database, &["--json"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    let report = said.json();
    let tables = report["tables"].as_array().unwrap();
    let rows = |name: &str| tables.iter().find(|table| table["table"] == name).unwrap()["rows"].as_u64().unwrap();
    assert_eq!((rows("message"), rows("credential"), rows("idempotency")), (9, 2, 1), "{report:#}");
    assert_eq!((rows("run"), rows("api_key"), rows("suppression"), rows("token")), (1, 1, 1, 1), "{report:#}");
    assert_eq!(tables.iter().map(|table| table["rows"].as_u64().unwrap()).sum::<u64>(), report["rows"], "{report:#}");
    assert!(tables.iter().all(|table| table["sum"].as_str().unwrap().len() == 16), "{report:#}");

    go_by(&world, &database);
    world.run();
    let after = everything(&world, &soon);
    for (what, was) in before.as_object().unwrap() {
        assert_eq!(&after[what], was, "{what}");
    }

    // Who asked before is told what he was told then.
    let again = world.post("/v1/messages", &{
        let mut again = message("notice", "o-alice", "keyed");
        again["data"]["title"] = "hello".into();
        again["key"] = "k-1".into();
        again
    });
    assert_eq!((again.status, &again.json()["id"], &again.json()["replayed"]), (202, &json!(keyed), &json!(true)));
    let repeat = world.post_form("wechat.form_id", &format!("form_id={used}&openId=o-alice"));
    assert!(repeat.status == 422 && repeat.body.contains("posted before"), "{repeat:?}");
    let refused = world.post("/v1/messages", &message("notice", "o-mallory", "1"));
    assert_eq!(refused.problem(), "recipient-suppressed");
    world.wait("the engine says where it listens", || (world.log().matches("tidings runs").count() == 2).then_some(()));
    let listed =
        http_tcp(tcp_address(&world), "GET", "/v1/messages", &[("authorization", &format!("Bearer {key}"))], "");
    assert_eq!(listed.status, 200, "{listed:?}");

    // What waited goes on.
    world.until(&soon, "queued");
    world.ok(&["channels", "resume", "alerts"]);
    world.until(&soon, "sent");
    world.until(&queued, "sent");
    world.permit("o-bob");
    world.until(&waiting, "sent");
    world.permit("o-ben");
    world.ok(&["messages", "release", &held]);
    world.until(&held, "sent");
    world.ok(&["messages", "retry", &failed]);
    // It was `failed` until the retry, so that its end is looked for among its attempts.
    world.wait("what failed is sent", || (world.message(&failed)["state"] == "sent").then_some(()));
    let new = world.send("order-paid", "o-carl", "new");
    world.until(&new, "sent");
    let number = |id: &str| id.trim_start_matches("msg_").parse::<u64>().unwrap();
    assert!(number(&new) > number(&soon), "{new} is not behind {soon}");
    assert_eq!(world.message(&later)["state"], "scheduled");

    let arrived = ["sent", "keyed", "queued", "soon", "waiting", "held", "failed", "new"];
    for order in arrived {
        assert_eq!(world.arrived(order), 1, "{order}: {:?}", world.deliveries());
    }
    assert_eq!(world.deliveries().len(), arrived.len());
    let carried = world.deliveries().into_iter().find(|delivery| delivery.openid == "o-carl").unwrap();
    assert_eq!(carried.credential, Some(kept), "by the permit that was posted before");

    // The schedule is paused as it was, and its history goes on.
    world.ok(&["schedules", "resume", "purge"]);
    let next = run_schedule(&world);
    let ids: Vec<Value> = runs(&world).into_iter().map(|run| run["id"].clone()).collect();
    assert_eq!(ids, [next, run]);
    assert!(world.terminate().success());
    drop(world);
    drop(database);
}

#[test]
fn a_file_that_an_engine_has_is_not_moved_and_a_database_that_has_something_in_it_takes_nothing() {
    let (first, second) = (fresh_database(), fresh_database());
    let world = World::new();
    world.configure_more(MORE);
    world.run();
    let waiting = world.send("order-paid", "o-bob", "waiting");
    world.until(&waiting, "waiting");
    let refused = migrate(&world, &first, &[]);
    assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{refused:?}");
    for part in ["tidings.db", &format!("process {}", world.pid()), "stop that engine first"] {
        assert!(refused.err.contains(part), "`{part}` is not in {refused:?}");
    }
    // What a crash leaves moves as well: it is in the log beside the file.
    world.kill();
    let moved = migrate(&world, &first, &[]);
    assert_eq!(moved.code, 0, "{moved:?}");
    let has = |start: &str, rows: &str| {
        moved.out.lines().any(|line| line.starts_with(start) && line.split_whitespace().nth(1) == Some(rows))
    };
    assert!(moved.out.starts_with("TABLE") && has("message ", "1") && has("credential ", "0"), "{moved:?}");
    assert!(moved.out.contains("each table read back the same") && moved.out.contains("[store] url"), "{moved:?}");

    // An engine that is started on the file by an old config would send what the database's engine sends.
    let again = migrate(&world, &second, &[]);
    for said in [
        world.tidings(&["run"]),
        world.tidings(&["backup", "copy.db"]),
        world.tidings(&["check", "--online"]),
        again,
        migrate(&world, &first, &[]),
    ] {
        assert_eq!(said.code, 1, "{said:?}");
        let name = first.url().split('?').next().unwrap().rsplit_once('/').unwrap().1;
        for part in ["`tidings.db`: it was moved to postgres://", name, " at 20", "[store] url", "--forget-move"] {
            assert!(said.all().contains(part), "`{part}` is not in {said:?}");
        }
    }
    assert!(!world.path("copy.db").exists());

    // Another file does not go where one went before, an engine runs there or not.
    let other = World::running();
    other.terminate();
    let refused = migrate(&other, &first, &[]);
    assert!(refused.code == 1 && refused.err.contains("give it an empty database"), "{refused:?}");
    go_by(&world, &first);
    world.run();
    let refused = migrate(&other, &first, &[]);
    assert!(refused.code == 1 && refused.err.contains("give it an empty database"), "{refused:?}");
    world.permit("o-bob");
    world.until(&waiting, "sent");

    let nothing = World::new();
    let refused = migrate(&nothing, &second, &[]);
    assert!(refused.code == 1 && refused.err.contains("`tidings.db`") && !nothing.path("tidings.db").exists());
    assert_eq!(nothing.tidings(&["migrate", "--from", FROM]).code, 2, "where to?");
    assert_eq!(migrate(&nothing, &second, &["--forget-move"]).code, 2, "one or the other");
    // All of it told nobody the password: the harness looks.
    drop((world, other, nothing));
    drop((first, second));
}

#[test]
fn a_file_whose_move_is_forgotten_goes_on_as_it_was() {
    let database = fresh_database();
    let world = World::running();
    let waiting = world.send("order-paid", "o-bob", "waiting");
    world.until(&waiting, "waiting");
    world.terminate();
    assert_eq!(migrate(&world, &database, &[]).code, 0);
    assert_eq!(world.tidings(&["run"]).code, 1);

    let forgotten = world.ok_json(&["migrate", "--from", FROM, "--forget-move", "--json"]);
    let (to, at) = (forgotten["to"].as_str().unwrap(), forgotten["at"].as_str().unwrap());
    assert!(to.starts_with("postgres://") && at.starts_with("20"), "{forgotten}");
    let again = world.ok(&["migrate", "--from", FROM, "--forget-move"]);
    assert!(again.contains("no mark of a move"), "{again}");
    world.run();
    let refused = world.tidings(&["migrate", "--from", FROM, "--forget-move"]);
    assert!(refused.code == 1 && refused.err.contains("stop that engine first"), "{refused:?}");
    world.permit("o-bob");
    world.until(&waiting, "sent");
    assert_eq!(world.arrived("waiting"), 1);
    drop(world);
    drop(database);
}
