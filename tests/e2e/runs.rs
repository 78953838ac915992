//! Jobs and their runs: what each comes to, its log, its deadline, its end by an operator, and whom a broadcast reaches.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::harness::{World, on_each_store, order_of};
use crate::pages::{Pages, Reply, page, rows, status};

on_each_store! {
    a_probe_asks_the_provider_and_says_what_it_answered,
    purge_messages_removes_what_ended_in_the_states_that_are_named_and_nothing_else,
    a_run_whose_deadline_is_over_fails_and_what_it_accepted_is_sent,
    an_operator_ends_a_run_and_the_record_says_who_and_why,
    a_run_whose_schedule_leaves_config_is_ended_and_says_why,
    a_recipient_who_is_there_twice_is_told_once_unless_config_says_otherwise,
    a_preflight_says_whom_a_broadcast_reaches_and_why_not_the_others_and_changes_nothing,
    a_broadcast_notes_whom_it_could_reach_when_it_began,
    a_run_is_followed_to_its_end_which_is_the_commands_own,
    the_end_of_a_run_and_how_far_it_is_are_told_as_events,
    a_broadcast_stops_at_a_full_queue_and_a_file_that_changes_meanwhile_is_noticed,
    however_often_the_engine_is_killed_each_row_of_a_file_arrives_once,
    a_run_whose_schedule_is_gone_at_the_next_start_is_interrupted,
}

/// Starts the engine and, once the schedule's first run has begun, has it begin no second one.
pub(crate) fn only_run(world: &World, schedule: &str) -> String {
    world.run();
    let run = world.wait(&format!("a run of {schedule} begins"), || {
        let page = world.ok_json(&["runs", "list", "--schedule", schedule, "--json"]);
        page["items"].as_array().unwrap().last().map(|run| run["id"].as_str().unwrap().to_owned())
    });
    world.write("config.toml", world.read("config.toml").replace("@every 1s", "@every 86400s"));
    world.ok(&["reload"]);
    run
}

/// Waits until the first run of a schedule stands there.
#[track_caller]
pub(crate) fn until_run(world: &World, schedule: &str, state: &str) -> Value {
    world.wait(&format!("the run of {schedule} is {state}"), || {
        let page = world.ok_json(&["runs", "list", "--schedule", schedule, "--json"]);
        let run = page["items"].as_array().unwrap().last().cloned()?;
        let now = run["state"].as_str().unwrap().to_owned();
        assert!(now == state || now == "running", "it should become {state}: {run:#}\n{}", log_of(world, &run));
        (now == state).then_some(run)
    })
}

/// The log of a run, as text.
pub(crate) fn log_of(world: &World, run: &Value) -> String {
    let found = world.ok_json(&["runs", "show", run["id"].as_str().unwrap(), "--json"]);
    let lines = found["log"].as_array().unwrap().iter();
    lines.map(|line| format!("{} {}\n", line["level"].as_str().unwrap(), line["text"].as_str().unwrap())).collect()
}

fn a_probe_asks_the_provider_and_says_what_it_answered() {
    let world = World::new();
    world.configure_more("[schedules.look]\ncron = \"@every 1s\"\njob = { probe = \"shop\" }\n");
    only_run(&world, "look");
    let run = until_run(&world, "look", "done");
    assert!(run["result"].as_str().unwrap().starts_with("the provider answered in "), "{run:#}");
    assert!(log_of(&world, &run).contains("it begins: probe shop"));

    let world = World::new();
    world.faults(json!([{"kind": "errcode", "errcode": 40125, "api": "stable_token"}]));
    world.configure_more("[schedules.look]\ncron = \"@every 1s\"\njob = { probe = \"shop\" }\n");
    only_run(&world, "look");
    let run = until_run(&world, "look", "failed");
    assert!(run["result"].as_str().unwrap().contains("40125"), "{run:#}");
}

fn purge_messages_removes_what_ended_in_the_states_that_are_named_and_nothing_else() {
    let world = World::new();
    world.configure_more(concat!(
        "[schedules.tidy]\ncron = \"@every 1s\"\n",
        "job = { purge_messages = { older_than = \"1s\", states = [\"sent\", \"cancelled\"] } }\n"
    ));
    world.run();
    let sent = world.send("notice", "o-alice", "1");
    let waiting = world.send("order-paid", "o-bob", "2");
    let cancelled = world.send("order-paid", "o-bob", "3");
    world.ok(&["messages", "cancel", &cancelled]);
    let is_gone = |id: &str| {
        world.wait("it is removed", || Some(()).filter(|()| world.get(&format!("/v1/messages/{id}")).status == 404))
    };
    is_gone(&sent);
    is_gone(&cancelled);
    world.faults(json!([{"kind": "errcode", "errcode": 40003, "api": "official_template"}]));
    let failed = world.send("notice", "o-gone", "4");
    world.until(&failed, "failed");
    world.faults(json!([]));
    // What is sent after it is removed, and it stays.
    is_gone(&world.send("notice", "o-alice", "5"));
    assert_eq!(
        (&world.message(&waiting)["state"], &world.message(&failed)["state"]),
        (&json!("waiting"), &json!("failed"))
    );
    let runs = world.ok_json(&["runs", "list", "--json", "--limit", "250", "--state", "done"]);
    let removed: i64 = runs["items"].as_array().unwrap().iter().map(|run| run["done"].as_i64().unwrap()).sum();
    assert_eq!(removed, 3, "{runs:#}");
}

#[test]
fn a_backup_job_keeps_the_newest_copies_and_touches_nothing_else() {
    let world = World::new();
    world.configure_more("[schedules.copy]\ncron = \"@every 1s\"\njob = { backup = \"copies\", keep = 2 }\n");
    std::fs::create_dir(world.path("copies")).unwrap();
    for other in ["copies/tidings.db", "copies/mine.txt"] {
        world.write(other, "mine");
    }
    world.write("copies/tidings-20200101T000000Z-run_1.db.part", "half");
    world.run();
    world.wait("four copies were made", || {
        let page = world.ok_json(&["runs", "list", "--schedule", "copy", "--state", "done", "--json"]);
        Some(()).filter(|()| page["items"].as_array().unwrap().len() >= 4)
    });
    world.terminate();
    let mut names: Vec<String> = std::fs::read_dir(world.path("copies"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(names.contains(&"mine.txt".to_owned()) && names.contains(&"tidings.db".to_owned()), "{names:?}");
    assert!(names.iter().all(|name| !name.ends_with(".part")), "{names:?}");
}

#[test]
fn a_backup_job_without_a_folder_to_write_to_fails_with_the_reason() {
    let world = World::new();
    world.write("copies", "a file, no folder");
    world.configure_more("[schedules.copy]\ncron = \"@every 1s\"\njob = { backup = \"copies\" }\n");
    only_run(&world, "copy");
    let run = until_run(&world, "copy", "failed");
    assert!(run["result"].as_str().unwrap().contains("copies"), "{run:#}");
}

/// An audience that never comes to its end.
fn endless() -> Pages {
    Pages::start(|path, _| match path {
        "/people" => page(&rows(0..500), Some("/two")),
        "/two" => Reply::Stall(
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ncontent-length: 99999\r\n\r\n".to_owned(),
        ),
        _ => status("404 Not Found"),
    })
}

fn digest(pages: &Pages, deadline: &str) -> String {
    format!(
        "[schedules.digest]\ncron = \"@every 1s\"\ndeadline = \"{deadline}\"\n\
         job = {{ send = \"notice\", audience = {{ url = \"http://{}/people\", timeout = \"1h\" }} }}\n",
        pages.address
    )
}

fn a_run_whose_deadline_is_over_fails_and_what_it_accepted_is_sent() {
    let pages = endless();
    let world = World::new();
    world.configure_more(&digest(&pages, "3s"));
    only_run(&world, "digest");
    let run = until_run(&world, "digest", "failed");
    assert!(run["result"].as_str().unwrap().contains("its deadline, "), "{run:#}");
    assert_eq!((&run["accepted"], &run["done"]), (&json!(500), &json!(500)), "{run:#}");
    assert!(run["deadline_at"].is_string());
    world.until_sent(500);
}

fn an_operator_ends_a_run_and_the_record_says_who_and_why() {
    let pages = endless();
    let world = World::new();
    world.configure_more(&digest(&pages, "1h"));
    let id = only_run(&world, "digest");
    world.wait("its first page is accepted", || {
        Some(()).filter(|()| world.get(&format!("/v1/runs/{id}")).json()["accepted"] == 500)
    });
    let said = world.ok(&["runs", "cancel", &id, "--reason", "wrong list"]);
    let advice = format!("tidings messages cancel --run {id} --yes");
    assert!(said.contains("is cancelled after 500 rows") && said.contains(&advice), "{said}");
    let listed = world.ok_json(&["messages", "list", "--run", &id, "--limit", "250", "--json"]);
    assert_eq!(listed["items"].as_array().unwrap().len(), 250);
    let run = world.get(&format!("/v1/runs/{id}")).json();
    assert_eq!(run["state"], "cancelled", "{run:#}");
    assert!(run["result"].as_str().unwrap().starts_with("cancelled by local (tester)"), "{run:#}");
    let record = world.ok_json(&["audit", "list", "--act", "run.cancel", "--json"]);
    assert_eq!((&record["items"][0]["subject"], &record["items"][0]["why"]), (&json!(id), &json!("wrong list")));
    // Once more is once too often, and is not in the record.
    let again = world.post(&format!("/v1/runs/{id}/cancel"), &json!({}));
    assert_eq!((again.status, again.problem().as_str()), (409, "run-over"));
    assert_eq!(
        world.ok_json(&["audit", "list", "--act", "run.cancel", "--json"])["items"].as_array().unwrap().len(),
        1
    );
    let unknown = world.post("/v1/runs/run_999/cancel", &json!({}));
    assert_eq!((unknown.status, unknown.problem().as_str()), (404, "run-unknown"));
    // It stays over after a restart.
    world.terminate();
    world.run();
    assert_eq!(world.get(&format!("/v1/runs/{id}")).json()["state"], "cancelled");
    world.until_sent(500);
}

fn a_run_whose_schedule_leaves_config_is_ended_and_says_why() {
    let pages = endless();
    let world = World::new();
    let before = world.read("config.toml");
    world.configure_more(&digest(&pages, "1h"));
    let id = only_run(&world, "digest");
    world.wait("its first page is accepted", || {
        Some(()).filter(|()| world.get(&format!("/v1/runs/{id}")).json()["accepted"] == 500)
    });
    world.write("config.toml", before);
    world.ok(&["reload"]);
    let run = until_run(&world, "digest", "cancelled");
    assert_eq!(run["result"], "schedule `digest` left config while it ran", "{run:#}");
    assert!(log_of(&world, &run).contains("warn schedule `digest` left config"));
    world.until_sent(500);
}

fn a_recipient_who_is_there_twice_is_told_once_unless_config_says_otherwise() {
    let table = "to,title,order.id\no-alice,x,first\no-bobby,x,other\no-alice,x,second\n";
    for (more, expected) in
        [("", vec!["first", "other"]), (", duplicates = \"send\"", vec!["first", "other", "second"])]
    {
        let world = World::new();
        world.write("audience.csv", table);
        world.configure_more(&format!(
            "[schedules.digest]\ncron = \"@every 1s\"\njob = {{ send = \"notice\", audience = {{ file = \"audience.csv\" }}{more} }}\n"
        ));
        only_run(&world, "digest");
        let run = until_run(&world, "digest", "done");
        assert_eq!(run["accepted"], expected.len(), "{run:#}");
        assert_eq!(run["duplicates"].as_i64().unwrap_or(0), 3 - i64::try_from(expected.len()).unwrap());
        world.until_sent(i64::try_from(expected.len()).unwrap());
        let orders: HashSet<String> = world.deliveries().iter().map(|delivery| order_of(delivery).to_owned()).collect();
        assert_eq!(orders, expected.into_iter().map(str::to_owned).collect::<HashSet<_>>());
    }
}

fn a_preflight_says_whom_a_broadcast_reaches_and_why_not_the_others_and_changes_nothing() {
    let world = World::new();
    let rows = ["o-ready1,x,1", "o-ready2,x,2", "o-nobody,x,3", "o-unwanted,x,4", "o-broken", ",x,6"];
    world.write("audience.csv", format!("to,title,order.id\n{}\n", rows.join("\n")));
    world.configure_more(concat!(
        "[schedules.digest]\ncron = \"0 0 1 1 *\"\n",
        "job = { send = \"order-paid\", audience = { file = \"audience.csv\" } }\n",
        "[schedules.look]\ncron = \"0 0 1 1 *\"\njob = { probe = \"shop\" }\n"
    ));
    world.run();
    for user in ["o-ready1", "o-ready2", "o-unwanted"] {
        world.permit(user);
    }
    world.ok(&["suppressions", "add", "shop", "o-unwanted", "--reason", "asked us to stop"]);
    world.ok(&["channels", "pause", "orders"]);
    let found = world.ok_json(&["runs", "preflight", "digest", "--json"]);
    assert_eq!(
        (&found["rows"], &found["reachable"], &found["in_a_week"]),
        (&json!(6), &json!(2), &json!(0)),
        "{found:#}"
    );
    assert!(found["until"].is_string(), "{found:#}");
    let unreachable: Vec<(String, i64)> = found["unreachable"]
        .as_array()
        .unwrap()
        .iter()
        .map(|why| (why["code"].as_str().unwrap().to_owned(), why["count"].as_i64().unwrap()))
        .collect();
    let expected =
        [("no-permit", 1), ("row-broken", 2), ("suppressed", 1)].map(|(code, count)| (code.to_owned(), count));
    assert_eq!(unreachable, expected, "{found:#}");
    assert_eq!(found["obstacles"][0]["code"], "channel-paused", "{found:#}");
    assert!(!found.to_string().contains("o-nobody") && !found.to_string().contains("o-unwanted"), "{found:#}");
    let text = world.ok(&["runs", "preflight", "digest"]);
    assert_eq!(world.ok(&["schedules", "run", "digest", "--dry-run"]), text, "one question, asked at either place");
    assert!(text.contains("2 of 6 rows can be reached now") && text.contains("nothing was sent"), "{text}");
    // Nothing was spent, accepted, or begun.
    assert_eq!(world.ok_json(&["runs", "list", "--json"])["items"], json!([]));
    assert_eq!(world.counts(), tidings_api::wire::Counts::default());
    assert_eq!(world.get("/v1/credentials?usable=true").json()["items"].as_array().unwrap().len(), 3);

    for (schedule, status, code) in [("look", 409, "no-broadcast"), ("nothing", 404, "schedule-unknown")] {
        let answer = world.post(&format!("/v1/schedules/{schedule}/preflight"), &json!({}));
        assert_eq!((answer.status, answer.problem().as_str()), (status, code));
    }
    std::fs::remove_file(world.path("audience.csv")).unwrap();
    let answer = world.post("/v1/schedules/digest/preflight", &json!({}));
    assert_eq!((answer.status, answer.problem().as_str()), (409, "audience-unusable"));
}

fn a_broadcast_notes_whom_it_could_reach_when_it_began() {
    let world = World::new();
    world.configure_more(concat!(
        "[schedules.morning]\ncron = \"@every 1s\"\n",
        "job = { send = \"order-paid\", audience = \"everyone\", data = { title = \"x\", order = { id = \"1\" } } }\n"
    ));
    world.run();
    world.ok(&["channels", "pause", "orders"]);
    world.permit("o-alice1");
    world.permit("o-bobby1");
    let run = world.wait("a run found both", || {
        let page = world.ok_json(&["runs", "list", "--json", "--state", "done"]);
        page["items"].as_array().unwrap().iter().find(|run| run["done"] == 2).cloned()
    });
    let found = world.get(&format!("/v1/runs/{}", run["id"].as_str().unwrap())).json();
    assert_eq!((&found["preflight"]["rows"], &found["preflight"]["reachable"]), (&json!(2), &json!(2)), "{found:#}");
    let log = log_of(&world, &run);
    assert!(
        log.contains("preflight: 2 of 2 rows") && log.contains("all of them wait: channel `orders` is paused"),
        "{log}"
    );
}

fn a_run_is_followed_to_its_end_which_is_the_commands_own() {
    let world = World::new();
    world.write("audience.csv", "to,title,order.id\no-alice,x,1\no-broken\n");
    world.configure_more(concat!(
        "[schedules.digest]\ncron = \"@every 1s\"\njob = { send = \"notice\", audience = { file = \"audience.csv\" } }\n",
        "[schedules.lost]\ncron = \"@every 1s\"\njob = { send = \"notice\", audience = { file = \"lost.csv\" } }\n"
    ));
    let id = only_run(&world, "digest");
    let text = world.ok(&["runs", "show", &id, "--follow"]);
    for told in ["send notice to ", "1 accepted, 1 refused", "! refused: line 3", "[####", "2 of 2", "done: "] {
        assert!(text.contains(told), "{told}: {text}");
    }
    let page = world.ok_json(&["runs", "list", "--schedule", "lost", "--json"]);
    let lost = page["items"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    let said = world.tidings(&["runs", "show", &lost, "--follow", "--json"]);
    assert_eq!((said.code, said.json()["state"].as_str()), (1, Some("failed")), "{said:?}");
    assert!(said.json()["result"].as_str().unwrap().contains("lost.csv"), "{said:?}");
    let unknown = world.tidings(&["runs", "show", "run_999"]);
    assert!(unknown.code == 1 && unknown.err.contains("there is no run run_999"), "{unknown:?}");
}

fn the_end_of_a_run_and_how_far_it_is_are_told_as_events() {
    let pages = endless();
    let world = World::new();
    world.configure_more(&digest(&pages, "3s"));
    only_run(&world, "digest");
    let run = until_run(&world, "digest", "failed");
    let told = world.ok(&["events", "--type", "run.*", "--json"]);
    let ended = told.lines().find(|line| line.contains("run.ended")).unwrap_or_else(|| panic!("{told}"));
    let ended: Value = serde_json::from_str(ended).unwrap();
    assert_eq!((&ended["data"]["id"], &ended["data"]["state"]), (&run["id"], &json!("failed")), "{ended:#}");
    assert!(told.contains("run.begun"), "{told}");
}

/// Messages queued in the channel above which a broadcast accepts no more rows: `BROADCAST_QUEUE_MAX`.
const QUEUE_MAX: i64 = 20_000;

fn a_broadcast_stops_at_a_full_queue_and_a_file_that_changes_meanwhile_is_noticed() {
    let world = World::new();
    let table = |users: std::ops::Range<usize>| {
        let rows: String = users.map(|user| format!("o-user-{user:06},x,row-{user:06}\n")).collect();
        format!("to,title,order.id\n{rows}")
    };
    world.write("audience.csv", table(0..22_000));
    world.run();
    world.ok(&["channels", "pause", "alerts"]);
    world.terminate();
    world.configure_more(concat!(
        "[schedules.digest]\ncron = \"@every 1s\"\n",
        "job = { send = \"notice\", audience = { file = \"audience.csv\" } }\n"
    ));
    let id = only_run(&world, "digest");
    world.wait("the queue is full", || Some(()).filter(|()| world.counts().queued >= QUEUE_MAX));
    let run = world.get(&format!("/v1/runs/{id}")).json();
    assert_eq!(
        (&run["state"], &run["accepted"], &run["total"]),
        (&json!("running"), &json!(QUEUE_MAX), &json!(22_000))
    );
    world.kill();
    // Another list under the same name: a hundred who were told, and three who were not.
    world.write("next.csv", format!("{}{}", table(0..100), "o-new-1,x,n\no-new-2,x,n\no-new-3,x,n\n"));
    std::fs::rename(world.path("next.csv"), world.path("audience.csv")).unwrap();
    world.run();
    world.ok(&["messages", "cancel", "--channel", "alerts", "--to", "o-user-000500", "--yes"]);
    let run = world.wait("the other list is read from its beginning", || {
        let run = world.get(&format!("/v1/runs/{id}")).json();
        let told = run["log"]
            .as_array()
            .unwrap()
            .iter()
            .any(|line| line["text"].as_str().unwrap().contains("is another file"));
        (told && run["state"] == "done").then_some(run)
    });
    assert_eq!(
        (&run["accepted"], &run["duplicates"], &run["resumed"]),
        (&json!(QUEUE_MAX + 3), &json!(100), &json!(1)),
        "{run:#}"
    );
    assert_eq!((&run["done"], &run["total"]), (&json!(QUEUE_MAX + 103), &json!(QUEUE_MAX + 103)), "{run:#}");
}

fn however_often_the_engine_is_killed_each_row_of_a_file_arrives_once() {
    const ROWS: usize = 8000;
    let world = World::new();
    let rows: String = (0..ROWS).map(|user| format!("o-user-{user:06},x,row-{user:06}\n")).collect();
    world.write("audience.csv", format!("to,title,order.id\n{rows}"));
    world.configure_more(concat!(
        "[schedules.digest]\ncron = \"@every 1s\"\n",
        "job = { send = \"notice\", audience = { file = \"audience.csv\" } }\n"
    ));
    let id = only_run(&world, "digest");
    for accepted in [500, 2500, 4500] {
        world.wait(&format!("{accepted} rows are accepted"), || {
            let run = world.get(&format!("/v1/runs/{id}")).json();
            Some(()).filter(|()| run["accepted"].as_i64().unwrap_or(0) >= accepted || run["state"] == "done")
        });
        world.kill();
        world.run();
    }
    let run = until_run(&world, "digest", "done");
    assert_eq!(
        (&run["accepted"], &run["duplicates"], &run["done"]),
        (&json!(ROWS), &Value::Null, &json!(ROWS)),
        "{run:#}"
    );
    assert!(run["resumed"].as_i64().unwrap_or(0) >= 1, "{run:#}");
    world.wait("all of them are sent", || Some(()).filter(|()| world.counts().sent == i64::try_from(ROWS).unwrap()));
    let orders: Vec<String> = world.deliveries().iter().map(|delivery| order_of(delivery).to_owned()).collect();
    let different: HashSet<&String> = orders.iter().collect();
    assert_eq!((orders.len(), different.len()), (ROWS, ROWS));
}

fn a_run_whose_schedule_is_gone_at_the_next_start_is_interrupted() {
    let pages = endless();
    let world = World::new();
    let before = world.read("config.toml");
    world.configure_more(&digest(&pages, "1h"));
    let id = only_run(&world, "digest");
    world.wait("its first page is accepted", || {
        Some(()).filter(|()| world.get(&format!("/v1/runs/{id}")).json()["accepted"] == 500)
    });
    world.kill();
    world.write("config.toml", before);
    world.run();
    let run = world.wait("it is told so", || {
        let run = world.get(&format!("/v1/runs/{id}")).json();
        (run["state"] != "running").then_some(run)
    });
    assert_eq!((&run["state"], &run["accepted"]), (&json!("interrupted"), &json!(500)), "{run:#}");
    world.until_sent(500);
}
