//! Cron lines that fire: token, purge, broadcasts, overlap.

use std::collections::HashSet;

use serde_json::{Value, json};
use tidings_wechat_sandbox::Api;

use crate::harness::{World, on_each_store, order_of, seconds_ago};

on_each_store! {
    a_token_is_refreshed_by_its_schedule_and_the_runs_show_it,
    a_refresh_that_fails_is_a_failed_run_with_its_reason,
    stale_credentials_are_removed_by_their_schedule_and_good_ones_stay,
    a_broadcast_to_a_file_reaches_each_row_once_a_run_and_names_the_broken_row,
    everyone_is_whoever_has_a_usable_credential,
    a_run_that_still_goes_on_makes_the_next_ones_skip,
    a_broadcast_that_a_crash_interrupts_goes_on_and_doubles_nobody,
    operators_pause_skip_run_and_backfill_a_schedule_and_each_act_is_in_the_record_and_survives_a_restart,
    the_next_times_are_shown_in_the_zone_of_the_schedule_and_here_and_the_line_in_words,
}

/// The runs of a schedule, newest first.
fn runs(world: &World, schedule: &str) -> Vec<Value> {
    let page = world.ok_json(&["runs", "list", "--schedule", schedule, "--json", "--limit", "250"]);
    page["items"].as_array().unwrap().clone()
}

fn done_runs(world: &World, schedule: &str, count: usize) -> Vec<Value> {
    world.wait(&format!("{count} runs of {schedule} are done"), || {
        let done: Vec<Value> = runs(world, schedule).into_iter().filter(|run| run["state"] == "done").collect();
        Some(done).filter(|done| done.len() >= count)
    })
}

fn a_token_is_refreshed_by_its_schedule_and_the_runs_show_it() {
    let world = World::new();
    world.configure_more("[schedules.keep-token]\ncron = \"@every 1s\"\njob = { refresh_token = \"shop\" }\n");
    world.run();
    let done = done_runs(&world, "keep-token", 2);
    assert_eq!((&done[0]["result"], &done[0]["job"]), (&json!("token fetched"), &json!("refresh_token shop")));
    assert!(world.calls(Api::StableToken) >= 2);
    let listed = world.ok(&["schedules", "list"]);
    assert!(listed.contains("keep-token") && listed.contains("@every 1s"), "{listed}");
    let schedule = &world.ok_json(&["schedules", "list", "--json"])[0];
    assert!(schedule["next_at"].is_string() && schedule["last_run"]["id"].is_string(), "{schedule:#}");
    let table = world.ok(&["runs", "list"]);
    assert!(table.contains("keep-token") && table.contains("token fetched"), "{table}");
}

fn a_refresh_that_fails_is_a_failed_run_with_its_reason() {
    let world = World::new();
    world.faults(json!([{"kind": "errcode", "errcode": 40125, "api": "stable_token"}]));
    world.configure_more("[schedules.keep-token]\ncron = \"@every 1s\"\njob = { refresh_token = \"shop\" }\n");
    world.run();
    let run =
        world.wait("a run has failed", || runs(&world, "keep-token").into_iter().find(|run| run["state"] == "failed"));
    assert!(run["result"].as_str().unwrap().contains("40125"), "{run:#}");
}

fn stale_credentials_are_removed_by_their_schedule_and_good_ones_stay() {
    let world = World::new();
    world.configure_more("[schedules.purge]\ncron = \"@every 1s\"\njob = \"purge_credentials\"\n");
    world.run();
    // It ends in three seconds.
    let made = seconds_ago(7 * 86_400 - 3);
    let answer = world.post_form("wechat.form_id", &format!("form_id=F-old&openId=o-old&created_at={made}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    world.permit("o-new");
    let held =
        |user: &str| world.get(&format!("/v1/credentials?recipient={user}")).json()["items"].as_array().unwrap().len();
    world.wait("the old one is gone", || Some(()).filter(|()| held("o-old") == 0));
    assert_eq!(held("o-new"), 1);
    world.wait("a run tells of it", || {
        runs(&world, "purge")
            .into_iter()
            .find(|run| run["result"].as_str().is_some_and(|text| text.starts_with("1 unused")))
    });
}

fn a_broadcast_to_a_file_reaches_each_row_once_a_run_and_names_the_broken_row() {
    let world = World::new();
    world.write("audience.csv", "to,title,order.id\no-alice,a,row-1\no-bob\no-carl,c,row-3\n");
    world.configure_more(concat!(
        "[schedules.digest]\ncron = \"@every 1s\"\n",
        "job = { send = \"notice\", audience = { file = \"audience.csv\" }, data = { title = \"everybody\" } }\n"
    ));
    world.run();
    let done = done_runs(&world, "digest", 2);
    let run = done.last().unwrap();
    assert_eq!(
        (&run["done"], &run["total"], &run["accepted"], &run["refused"]),
        (&json!(3), &json!(3), &json!(2), &json!(1))
    );
    let result = run["result"].as_str().unwrap();
    assert!(result.starts_with("2 accepted, 1 refused") && result.contains("line 3"), "{result}");
    world.terminate();
    world.run();
    world.wait("the messages of the first run are sent", || {
        let messages = world.ok_json(&["messages", "list", "--json", "--limit", "250", "--state", "sent"]);
        let of_run = |message: &&Value| message["run"] == run["id"];
        Some(()).filter(|()| messages["items"].as_array().unwrap().iter().filter(of_run).count() == 2)
    });
    let first: HashSet<String> = world.deliveries().iter().map(|delivery| order_of(delivery).to_owned()).collect();
    assert_eq!(first, HashSet::from(["row-1".to_owned(), "row-3".to_owned()]));
}

fn everyone_is_whoever_has_a_usable_credential() {
    let world = World::new();
    world.configure_more(concat!(
        "[schedules.morning]\ncron = \"@every 2s\"\n",
        "job = { send = \"order-paid\", audience = \"everyone\", data = { title = \"早上好\", order = { id = \"digest\" } } }\n"
    ));
    // Before the engine runs nobody can post; the first runs find nobody, which is no failure.
    world.run();
    world.permit("o-alice");
    world.permit("o-alice");
    let stale = world.mint("o-stale");
    let made = seconds_ago(6 * 86_400 + 3600);
    world.post_form("wechat.form_id", &format!("form_id={stale}&openId=o-stale&created_at={made}"));
    world.permit("o-bob");
    // Alice has two permits: one message a run. Bob has one.
    world.until_sent(3);
    let run_of = |message: &Value| message["run"].as_str().map(str::to_owned);
    let sent = world.ok_json(&["messages", "list", "--json", "--state", "sent"]);
    let pairs: HashSet<(String, Option<String>)> = sent["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| (message["to"].as_str().unwrap().to_owned(), run_of(message)))
        .collect();
    assert_eq!(pairs.len(), 3, "{sent:#}");
    assert!(pairs.iter().all(|(_, run)| run.is_some()));
    let users: Vec<String> = world.deliveries().into_iter().map(|delivery| delivery.openid).collect();
    assert_eq!(users.iter().filter(|user| *user == "o-alice").count(), 2, "{users:?}");
    assert!(!users.contains(&"o-stale".to_owned()));
}

fn a_run_that_still_goes_on_makes_the_next_ones_skip() {
    let world = World::new();
    world.faults(json!([{"kind": "latency", "ms": 2400, "api": "stable_token"}]));
    world.configure_more(
        "[schedules.slow]\ncron = \"@every 1s\"\noverlap = \"skip\"\njob = { refresh_token = \"shop\" }\n",
    );
    world.run();
    let done = done_runs(&world, "slow", 3);
    let second = |run: &Value| {
        let text = run["nominal_at"].as_str().unwrap();
        let time = text.split_once('T').unwrap().1.trim_end_matches('Z').to_owned();
        time.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap())
    };
    for pair in done.windows(2) {
        let apart = (second(&pair[0]) - second(&pair[1])).rem_euclid(86_400.0);
        assert!(apart >= 2.0, "two runs {apart} s apart overlap: {pair:#?}");
    }
}

fn a_broadcast_that_a_crash_interrupts_goes_on_and_doubles_nobody() {
    let world = World::new();
    let rows: Vec<String> = (0..6000).map(|row| format!("o-user-{row:05},x,row-{row:05}")).collect();
    world.write("audience.csv", format!("to,title,order.id\n{}\n", rows.join("\n")));
    // A channel that is paused takes everything and sends nothing: the run alone is what is looked at.
    world.run();
    world.ok(&["channels", "pause", "alerts"]);
    world.terminate();
    world.configure_more(concat!(
        "[schedules.digest]\ncron = \"@every 1s\"\noverlap = \"skip\"\n",
        "job = { send = \"notice\", audience = { file = \"audience.csv\" } }\n"
    ));
    world.run();
    let total = |world: &World| world.counts().queued;
    world.wait("some of the first run is accepted", || Some(()).filter(|()| total(&world) >= 500));
    world.kill();
    // Whatever the crash left goes on; no second run begins.
    world.write("config.toml", world.read("config.toml").replace("@every 1s", "@every 86400s"));
    world.run();
    world.wait("no run goes on", || {
        let runs = runs(&world, "digest");
        Some(()).filter(|()| !runs.is_empty() && runs.iter().all(|run| run["state"] != "running"))
    });
    let runs = runs(&world, "digest");
    let done: i64 = runs.iter().map(|run| run["done"].as_i64().unwrap()).sum();
    assert_eq!(total(&world), done, "{runs:#?}");
    assert!(runs.iter().all(|run| run["state"] == "done" && run["done"] == 6000), "{runs:#?}");
}

fn operators_pause_skip_run_and_backfill_a_schedule_and_each_act_is_in_the_record_and_survives_a_restart() {
    let world = World::new();
    world.configure_more(concat!(
        "[schedules.purge]\ncron = \"@every 1s\"\njob = \"purge_credentials\"\n",
        "[schedules.rare]\ncron = \"0 9 * * 1-5\"\ntimezone = \"Asia/Shanghai\"\njob = \"purge_credentials\"\n"
    ));
    world.run();
    let show = |name: &str| world.ok_json(&["schedules", "show", name, "--json"]);
    done_runs(&world, "purge", 2);

    world.ok(&["schedules", "pause", "purge", "--reason", "a quiet hour"]);
    world.terminate();
    world.run();
    let paused = show("purge");
    assert_eq!((&paused["state"], &paused["paused"]["why"]), (&json!("paused"), &json!("a quiet hour")), "{paused:#}");
    world.wait("its times pass while it is paused", || {
        show("purge")["history"].as_array().unwrap().iter().any(|firing| firing["verdict"] == "paused").then_some(())
    });
    let before = runs(&world, "purge").len();
    let begun = world.ok_json(&["schedules", "run", "purge", "--reason", "now", "--json"]);
    world.wait("the run that was asked for is done", || {
        runs(&world, "purge").into_iter().find(|run| run["id"] == begun["run"] && run["state"] == "done")
    });
    assert_eq!(runs(&world, "purge").len(), before + 1, "no other run began");

    world.ok(&["schedules", "resume", "purge"]);
    done_runs(&world, "purge", before + 2);
    world.ok(&["schedules", "skip", "rare", "-n", "2", "--reason", "holidays"]);
    world.terminate();
    world.run();
    let rare = show("rare");
    assert_eq!((&rare["skips"], &rare["skip"]["why"]), (&json!(2), &json!("holidays")), "{rare:#}");
    assert_eq!((&rare["next"][1]["skipped"], rare["next"][2].get("skipped")), (&json!(true), None), "{rare:#}");

    let history = show("purge")["history"].as_array().unwrap().clone();
    let of = |verdict: &str| history.iter().find(|firing| firing["verdict"] == verdict);
    let missed = of("paused").expect("a time passed while it was paused")["nominal_at"].as_str().unwrap().to_owned();
    let range = ["schedules", "backfill", "purge", "--from", &missed, "--to", &missed, "--json"];
    let plan = world.ok_json(&range);
    assert_eq!((&plan["plan"], &plan["times"], &plan["ran"]), (&json!(true), &json!(1), &json!(0)), "{plan:#}");
    world.ok_json(&[&range[..], &["--yes"]].concat());
    world.wait("the time of the past has run", || {
        let page = world.get("/v1/schedules/purge/firings?limit=250").json();
        let firings = page["items"].as_array().unwrap().clone();
        firings.into_iter().find(|firing| firing["nominal_at"] == *missed && firing["verdict"] == "backfilled")
    });
    assert_eq!(world.ok_json(&range)["ran"], 1);

    let record = world.ok_json(&["audit", "list", "--json", "--act", "schedule", "--limit", "50"]);
    let acts: Vec<&str> = record["items"].as_array().unwrap().iter().map(|act| act["act"].as_str().unwrap()).collect();
    let expected = ["schedule.backfill", "schedule.skip", "schedule.resume", "schedule.run", "schedule.pause"];
    assert_eq!(acts, expected);
    let refused = world.get("/v1/schedules/nobody");
    assert_eq!((refused.status, &refused.json()["type"]), (404, &json!("urn:tidings:problem:schedule-unknown")));
}

fn the_next_times_are_shown_in_the_zone_of_the_schedule_and_here_and_the_line_in_words() {
    let world = World::new();
    world.configure_more(concat!(
        "[schedules.digest]\ncron = \"0 9 * * 1-5\"\ntimezone = \"Asia/Shanghai\"\n",
        "missed = { all = 7 }\ngrace = \"6h\"\njob = \"purge_credentials\"\n"
    ));
    world.run();
    let text = world.ok(&["schedules", "next", "digest", "-n", "3"]);
    assert!(text.starts_with("digest: at 09:00, Monday to Friday, Asia/Shanghai (0 9 * * 1-5)"), "{text}");
    assert_eq!(text.matches("09:00:00 +08:00").count(), 3, "{text}");
    let schedule = world.ok_json(&["schedules", "next", "digest", "-n", "3", "--json"]);
    assert_eq!(schedule["words"], json!({"en": "at 09:00, Monday to Friday", "zh": "周一至周五 09:00"}));
    assert_eq!(schedule["next"].as_array().unwrap().len(), 3);
    let policy = json!({"missed": "all", "missed_max": 7, "grace_s": 21600, "overlap": "skip", "jitter_ms": 0});
    assert_eq!(schedule["policy"], policy);
}
