//! Broadcasts whose audience is given by a server in pages: what breaks off goes on, what lies is told, and nobody is told
//! twice.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::harness::{World, on_each_store, order_of};
use crate::pages::{Pages, Reply, page, rows, status, whole};
use crate::runs::{log_of, only_run, until_run};

on_each_store! {
    every_page_is_sent_once_and_the_key_goes_to_that_server_alone,
    a_page_that_breaks_off_is_asked_for_again_and_nobody_is_told_twice,
    broken_rows_of_a_page_are_named_and_the_rest_goes_on,
    a_page_that_is_another_when_it_is_asked_for_again_is_noticed,
    a_run_that_a_crash_interrupts_goes_on_within_its_page_and_asks_for_no_page_before_it,
}

/// A schedule that begins a run at once and none for a day after it.
fn broadcast(pages: &Pages, more: &str) -> String {
    format!(
        "[schedules.digest]\ncron = \"@every 1s\"\ndeadline = \"60s\"\noverlap = \"skip\"\n\
         job = {{ send = \"notice\", audience = {{ url = \"http://{}/people\", timeout = \"2s\", headers = {{ authorization = \
         {{ env = \"PEOPLE_KEY\" }} }} }}{more} }}\n",
        pages.address
    )
}

fn world(pages: &Pages, more: &str) -> World {
    let world = World::new();
    world.set("PEOPLE_KEY", "Bearer CANARY-people");
    world.configure_more(&broadcast(pages, more));
    world
}

/// What a server answers to a path that was asked for so often before.
type Answer = Box<dyn Fn(&str, usize) -> Reply + Send + Sync>;

/// How often a message arrived about each row.
fn arrived(world: &World) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for delivery in world.deliveries() {
        *counts.entry(order_of(&delivery).to_owned()).or_default() += 1;
    }
    counts
}

#[track_caller]
fn each_arrives_once(world: &World, count: usize) {
    world.until_sent(i64::try_from(count).unwrap());
    let arrived = arrived(world);
    assert_eq!(arrived.len(), count);
    assert!(arrived.values().all(|times| *times == 1), "{arrived:?}");
}

fn every_page_is_sent_once_and_the_key_goes_to_that_server_alone() {
    let pages = Pages::start(|path, _| match path {
        "/people" => page(&rows(0..700), Some("/people?after=700")),
        "/people?after=700" => page("\n", Some("?after=701")),
        "/people?after=701" => page(&rows(700..800), None),
        _ => status("404 Not Found"),
    });
    let world = world(&pages, "");
    only_run(&world, "digest");
    let run = until_run(&world, "digest", "done");
    assert_eq!((&run["done"], &run["accepted"]), (&json!(800), &json!(800)), "{run:#}");
    each_arrives_once(&world, 800);
    let asked = pages.asked();
    assert_eq!(asked.len(), 3, "each page is asked for once: {asked:?}");
    // It began with a look at the first rows, which asked for nothing more.
    let shown = world.ok_json(&["runs", "show", run["id"].as_str().unwrap(), "--json"]);
    let preflight = &shown["preflight"];
    assert_eq!((&preflight["first_only"], &preflight["rows"]), (&json!(true), &json!(500)), "{shown:#}");
    assert!(log_of(&world, &run).contains("of the first 500 rows can be reached now"));
    assert!(asked.iter().all(|one| one.head.to_lowercase().contains("authorization: bearer canary-people")));
    let heard = format!("{}{}{:?}", world.heard(), world.log(), log_of(&world, &run));
    assert!(!heard.contains("CANARY") && !heard.contains("/people"), "{heard}");
}

fn a_page_that_breaks_off_is_asked_for_again_and_nobody_is_told_twice() {
    let pages = Pages::start(|path, before| match (path, before) {
        ("/people", 0) => status("503 Service Unavailable"),
        ("/people", _) => page(&rows(0..600), Some("/two")),
        // Cut off within a row, then without an end, then an error, then whole.
        ("/two", 0) => {
            let whole = whole(&rows(600..1200), None);
            Reply::Bytes(whole[..whole.len() - 30].to_owned())
        }
        ("/two", 1) => Reply::Bytes(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\nconnection: close\r\n\r\n{}{{\"to\":\"o-us",
            rows(600..1100)
        )),
        ("/two", 2) => status("500 Internal Server Error"),
        ("/two", _) => page(&rows(600..1200), None),
        _ => status("404 Not Found"),
    });
    let world = world(&pages, "");
    only_run(&world, "digest");
    let run = until_run(&world, "digest", "done");
    assert_eq!(
        (&run["accepted"], &run["refused"], &run["duplicates"]),
        (&json!(1200), &Value::Null, &Value::Null),
        "{run:#}"
    );
    each_arrives_once(&world, 1200);
    let log = log_of(&world, &run);
    for told in ["page 1: HTTP 503", "page 2: HTTP 500", "try 1"] {
        assert!(log.contains(told), "{told}: {log}");
    }
}

#[test]
fn a_server_that_is_slow_is_cut_off_and_asked_again() {
    let pages = Pages::start(|path, before| match (path, before) {
        ("/people", 0) => {
            let whole = whole(&rows(0..20), None);
            Reply::Stall(whole[..whole.len() - 100].to_owned())
        }
        ("/people", _) => page(&rows(0..20), None),
        _ => status("404 Not Found"),
    });
    let world = world(&pages, "");
    only_run(&world, "digest");
    let run = until_run(&world, "digest", "done");
    assert_eq!((&run["accepted"], pages.times("/people")), (&json!(20), 2), "{run:#}");
    each_arrives_once(&world, 20);
}

#[test]
fn a_server_that_lies_fails_the_run_with_what_it_said() {
    let other = Pages::start(|_, _| page(&rows(0..5), None));
    let elsewhere = format!("http://{}/people", other.address);
    let cases: Vec<(Answer, &str)> = vec![
        (Box::new(move |_, _| page(&rows(0..5), Some(&elsewhere))), "on another server"),
        (Box::new(|_, _| page(&rows(0..5), Some("/people?again"))), "names itself as the next one"),
        (
            Box::new(|_, _| {
                Reply::Bytes(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 9\r\n\r\n<p>Hello\n".to_owned(),
                )
            }),
            "`text/html`",
        ),
        (Box::new(|_, _| status("401 Unauthorized")), "HTTP 401"),
        (Box::new(|_, _| status("302 Found\r\nlocation: /else")), "HTTP 302"),
    ];
    for (answer, expected) in cases {
        let pages = Pages::start(answer);
        let world = world(&pages, "");
        only_run(&world, "digest");
        let run = until_run(&world, "digest", "failed");
        assert!(run["result"].as_str().unwrap().contains(expected), "{expected}: {run:#}");
        assert!(!world.log().contains("CANARY"), "{}", world.log());
    }
    assert!(other.asked().is_empty(), "nobody else is shown the key: {:?}", other.asked());
}

fn broken_rows_of_a_page_are_named_and_the_rest_goes_on() {
    let pages = Pages::start(|path, _| match path {
        "/people" => {
            let long = format!("{{\"to\":\"{}\"}}\n", "x".repeat(200_000));
            page(&format!("{}nonsense\n{{\"to\":7}}\r\n{long}{}", rows(0..2), rows(2..4)), None)
        }
        _ => status("404 Not Found"),
    });
    let world = world(&pages, "");
    only_run(&world, "digest");
    let run = until_run(&world, "digest", "done");
    assert_eq!((&run["accepted"], &run["refused"], &run["done"]), (&json!(4), &json!(3), &json!(7)), "{run:#}");
    let log = log_of(&world, &run);
    for told in ["page 1, line 3: is no JSON object", "line 4: `to` is no string", "line 5: is longer than"] {
        assert!(log.contains(told), "{told}: {log}");
    }
    each_arrives_once(&world, 4);
}

fn a_run_that_a_crash_interrupts_goes_on_within_its_page_and_asks_for_no_page_before_it() {
    let pages = Pages::start(|path, before| match (path, before) {
        ("/people", _) => page(&rows(0..800), Some("/two")),
        ("/two", 0) => {
            let whole = whole(&rows(800..2000), Some("/three"));
            let after = whole.find("row-01700").unwrap();
            Reply::Stall(whole[..after].to_owned())
        }
        ("/two", _) => page(&rows(800..2000), Some("/three")),
        ("/three", _) => page(&rows(2000..2100), None),
        _ => status("404 Not Found"),
    });
    let world = world(&pages, "");
    world.configure_more("");
    world.write("config.toml", world.read("config.toml").replace("timeout = \"2s\"", "timeout = \"60s\""));
    only_run(&world, "digest");
    // Three portions are on disk, and the fourth waits for its rest.
    world.wait("the run is in the middle of its second page", || {
        let page = world.ok_json(&["runs", "list", "--json"]);
        Some(()).filter(|()| page["items"][0]["accepted"].as_i64().unwrap_or(0) >= 1500)
    });
    world.kill();
    world.run();
    let run = until_run(&world, "digest", "done");
    assert_eq!((&run["accepted"], &run["done"], &run["resumed"]), (&json!(2100), &json!(2100), &json!(1)), "{run:#}");
    assert_eq!((pages.times("/people"), pages.times("/two"), pages.times("/three")), (1, 2, 1));
    each_arrives_once(&world, 2100);
}

fn a_page_that_is_another_when_it_is_asked_for_again_is_noticed() {
    let start = || {
        Pages::start(|path, before| match (path, before) {
            ("/people", 0) => {
                let whole = whole(&rows(0..900), None);
                let after = whole.find("row-00700").unwrap();
                Reply::Bytes(whole[..after].to_owned())
            }
            // Somebody new came to stand in front.
            ("/people", _) => page(&format!("{}{}", rows(1000..1001), rows(0..900)), None),
            _ => status("404 Not Found"),
        })
    };
    let pages = start();
    let world_of_skip = world(&pages, "");
    only_run(&world_of_skip, "digest");
    let run = until_run(&world_of_skip, "digest", "done");
    assert_eq!(run["accepted"], 901, "{run:#}");
    assert!(log_of(&world_of_skip, &run).contains("another than it was; it is read from its beginning"));
    each_arrives_once(&world_of_skip, 901);

    let pages = start();
    let world = world(&pages, ", duplicates = \"send\"");
    only_run(&world, "digest");
    let run = until_run(&world, "digest", "failed");
    assert!(run["result"].as_str().unwrap().contains("nobody can say which rows"), "{run:#}");
}

#[test]
fn a_server_that_gives_another_page_each_time_it_is_asked_fails_the_run_in_the_end() {
    let pages = Pages::start(|path, before| match path {
        "/people" => {
            let whole = whole(&rows(before * 1000..before * 1000 + 900), None);
            Reply::Bytes(whole[..whole.len() - 1000].to_owned())
        }
        _ => status("404 Not Found"),
    });
    let world = world(&pages, "");
    only_run(&world, "digest");
    let run = until_run(&world, "digest", "failed");
    assert!(run["result"].as_str().unwrap().contains("and was so 3 times before"), "{run:#}");
    assert!(pages.times("/people") <= 12, "it is not asked for ever: {}", pages.times("/people"));
}
