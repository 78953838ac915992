//! The pure roles: what crosses, what comes back, and what is made of what should not have come.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidings_host::{Limits, OwnedPush, PluginState, RenderTrouble, Trouble, direct};
use tidings_sdk::{
    Credential, Delivery, Fetched, Intake, Method, Outcome, Part, PushEvent, Response, Timestamp, Violation,
};

use crate::fixture::{
    LONG, app, delivery, delivery_within, load, load_within, map, sender, the_neighbour_answers, until,
};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

#[tokio::test]
async fn a_delivery_crosses_and_its_request_comes_back() {
    let stage = sender(&load("good_pure").unwrap());
    let request = stage.request(delivery("ann")).await.unwrap();
    assert_eq!((request.method, request.url.as_str()), (Method::Post, "https://api.example/ann?t=CANARY-token"));
    assert_eq!(request.headers[0], ("content-type".into(), "text/plain".into()));
    let body = String::from_utf8(request.body).unwrap();
    assert_eq!(body, "form_id/CANARY-credential 01JA 60000 {} shop 0\n2 data a 1\n0 page  p\n");
}

#[tokio::test]
async fn a_refusal_is_one_sentence() {
    let stage = sender(&load("good_pure").unwrap());
    let refused = stage.request(delivery("nobody")).await.unwrap_err();
    assert_eq!(refused, Trouble::Refused("recipient: is nobody; so there".into()));
}

#[tokio::test]
async fn an_answer_is_read() {
    let stage = sender(&load("good_pure").unwrap());
    let read = async |status, body: &[u8]| {
        stage.read(status, Some(Duration::from_secs(7)), body.to_vec(), LONG).await.unwrap()
    };
    assert_eq!(read(200, b"m-1").await, Outcome::Accepted { provider_id: Some("m-1".into()) });
    assert_eq!(read(200, b"").await, Outcome::Accepted { provider_id: None });
    let throttled = Outcome::Throttled { retry_after: Some(Duration::from_secs(7)), detail: "slower".into() };
    assert_eq!(read(429, b"").await, throttled);
    let Outcome::Unknown { detail } = read(500, b"").await else { panic!("an outcome nobody knows is unknown") };
    assert!(detail.contains("4711"), "{detail}");
}

#[tokio::test]
async fn content_is_checked_by_the_providers_rules() {
    let stage = sender(&load("good_pure").unwrap());
    let content = map(json!({"data": {"a": "1", "b": "123456"}}));
    assert_eq!(stage.check(&content, LONG).await.unwrap(), [Violation::new("b", "is too long")]);
    let outside = std::thread::spawn(move || stage.check_blocking(&map(json!({})), LONG)).join().unwrap();
    assert_eq!(outside, Ok(Vec::new()));
}

#[tokio::test]
async fn a_token_is_asked_for_and_read() {
    let loaded = load("good_pure").unwrap();
    let stage = loaded.open_token_provider("token", &app("shop", json!({}))).unwrap();
    assert_eq!(stage.request(LONG).await.unwrap().url, "https://api.example/token");
    let fetched = stage.read(200, None, b"CANARY".to_vec(), LONG).await.unwrap();
    assert_eq!(fetched, Fetched::Token { value: "CANARY".into(), life: Duration::from_secs(7200) });
    assert!(matches!(stage.read(200, None, Vec::new(), LONG).await, Err(Trouble::Misshapen { .. })));
    assert_eq!(stage.fetches_per_day_blocking(LONG), Ok(Some(2000)));
}

#[tokio::test]
async fn permits_are_admitted_and_minted() {
    let loaded = load("good_pure").unwrap();
    let stage = loaded.open_credential_source("permit", &app("shop", json!({}))).unwrap();
    let intake = Intake::new([("to".to_owned(), "ann".to_owned()), ("value".to_owned(), "CANARY".to_owned())]);
    let permit = stage.admit(&intake, NOW, LONG).await.unwrap();
    assert_eq!((permit.recipient.as_str(), permit.value.as_str(), permit.uses), ("ann", "CANARY", Some(3)));
    let refused = stage.admit(&Intake::default(), NOW, LONG).await.unwrap_err();
    assert_eq!(refused, Trouble::Refused("to: is missing".into()));
    let minted = stage.mint("ann", "t-1", NOW, LONG).await.unwrap();
    assert_eq!(minted.permit.unwrap().identity.as_deref(), Some("t-1"));
    assert_eq!(minted.next_at, Some(Timestamp(NOW.0 + 1000)));
}

#[tokio::test]
async fn a_template_is_filled_in() {
    let loaded = load("good_pure").unwrap();
    let stage = loaded.open_renderer("fill", &app("shop", json!({}))).unwrap();
    let parts = [
        ("fixed".to_owned(), Part::Fixed(json!([1, 2]))),
        ("page".to_owned(), Part::Page("p".into())),
        ("rows".to_owned(), Part::Table(vec![("k".into(), "v".into())])),
    ];
    let rendered = stage.render(&parts, &json!({"a": 1}), LONG).await.unwrap();
    let data = r#"{"a":1}"#;
    assert_eq!(Value::Object(rendered), json!({"fixed": [1, 2], "page": data, "rows": {"k": data}}));
    let broken = [("text".to_owned(), Part::Text("broken".into()))];
    let trouble = stage.render(&broken, &json!({}), LONG).await.unwrap_err();
    assert_eq!(trouble, RenderTrouble::Violation(Violation::new("text", "cannot be filled in")));
}

#[tokio::test]
async fn a_push_is_read_and_answered() {
    let loaded = load("good_pure").unwrap();
    let stage = loaded.open_callback("push", &app("shop", json!({}))).unwrap();
    let headers = vec![("x-id".to_owned(), "m-1".to_owned())];
    let push = OwnedPush { now: NOW, method: "POST".into(), query: "ann".into(), headers, body: b"echo".to_vec() };
    let received = stage.receive(push, LONG).await.unwrap();
    let [PushEvent::Permit { source, permit }, PushEvent::Delivered { provider_id }] = &received.events[..] else {
        panic!("{received:?}")
    };
    assert_eq!((source.as_str(), permit.recipient.as_str(), provider_id.as_str()), ("permit", "ann", "m-1"));
    assert_eq!((received.reply.status, received.reply.body.as_slice()), (200, &b"echo"[..]));
}

#[tokio::test]
async fn what_breaks_the_contract_is_told_in_a_sentence_and_counted() {
    let loaded = load("broken_answers").unwrap();
    let stage = sender(&loaded);
    for (way, part) in [
        ("nothing", "answered nothing"),
        ("code", "returned 4711"),
        ("null", "put a request with a NULL"),
        ("no size", "put a request with a struct of 0 bytes"),
        ("ftp", "put a url that is not http:// or https://"),
        ("space", "put a url with a space"),
        ("no utf-8", "put a url that is not UTF-8"),
        ("null url", "put a url that is NULL and not empty"),
        ("method", "put a method that is none of"),
        ("header name", "put the header name \"x y\""),
        ("header value", "with a control character"),
        ("null headers", "put headers that are NULL"),
        ("many headers", "put 65 headers"),
        ("body", "put a body of 1073741824 bytes"),
        ("other thread", "answered nothing"),
    ] {
        let before = loaded.counters().misshapen;
        let trouble = stage.request(delivery(way)).await.unwrap_err();
        assert!(matches!(trouble, Trouble::Misshapen { .. }), "{way}: {trouble}");
        assert!(trouble.to_string().contains(part), "{way}: {trouble}");
        assert!(trouble.to_string().contains("plugin `broken-answers`"), "{trouble}");
        assert!(loaded.counters().misshapen > before, "{way} is counted");
    }
    assert!(matches!(stage.request(delivery("failed")).await, Err(Trouble::Failed { .. })));
    let silent = stage.request(delivery("refused silently")).await.unwrap_err();
    assert!(silent.to_string().contains("did not say why"), "{silent}");
    assert!(stage.request(delivery("well")).await.is_ok());
    assert!(stage.request(delivery("huge size")).await.is_ok());
    the_neighbour_answers().await;
}

#[tokio::test]
async fn a_second_answer_is_counted_and_the_first_stands() {
    let loaded = load("broken_answers").unwrap();
    assert!(sender(&loaded).request(delivery("twice")).await.is_ok());
    assert_eq!(loaded.counters().misshapen, 1);
}

#[tokio::test]
async fn a_sink_kept_after_its_call_puts_nothing() {
    let loaded = load("broken_answers").unwrap();
    let stage = sender(&loaded);
    assert!(stage.request(delivery("kept sink")).await.is_ok());
    assert_eq!(loaded.counters().misshapen, 0);
    assert_eq!(stage.request(delivery("kept sink")).await.unwrap().url, "https://api.example/send");
    assert_eq!(loaded.counters().misshapen, 1);
}

#[tokio::test]
async fn three_panics_park_a_plugin_and_each_is_counted_once() {
    let loaded = load("broken_answers").unwrap();
    let stage = sender(&loaded);
    for (way, panics) in [("panicked", 1), ("panicked and told", 2)] {
        assert!(matches!(stage.request(delivery(way)).await, Err(Trouble::Panicked { .. })));
        assert_eq!(loaded.counters().panics, panics);
        assert_eq!(loaded.state(), PluginState::Working);
    }
    let third = stage.request(delivery("panicked and told")).await.unwrap_err();
    assert!(matches!(third, Trouble::Parked { .. }), "{third}");
    let PluginState::Parked { reason } = loaded.state() else { panic!("it is not parked") };
    assert!(
        reason.contains("panicked 3 times within 10 minutes") && reason.contains("index out of bounds"),
        "{reason}"
    );
    let later = stage.request(delivery("well")).await.unwrap_err();
    assert!(later.to_string().contains("plugin `broken-answers` is parked: it panicked"), "{later}");
    the_neighbour_answers().await;
}

#[tokio::test]
async fn a_gigabyte_of_detail_costs_nothing() {
    let stage = sender(&load("gigabyte_of_detail").unwrap());
    for _ in 0..1000 {
        let Ok(Outcome::Rejected { reason }) = stage.read(200, None, Vec::new(), LONG).await else {
            panic!("rejected")
        };
        assert!(reason.starts_with("bad [2J\u{fffd}xxx") && reason.len() <= 2048, "{reason:?}");
    }
    the_neighbour_answers().await;
}

#[tokio::test]
async fn a_plugin_that_does_not_come_back_is_parked_and_everybody_is_told_at_once() {
    let limits = Limits { stuck_after: Duration::from_millis(200), ..Limits::default() };
    let loaded = load_within("sleeps_in_request", limits).unwrap();
    let stage = sender(&loaded);
    // The first is inside the plugin, the others wait for it; all have a minute.
    let begun = Instant::now();
    let waiting: Vec<_> = ["stuck", "a", "b"]
        .map(|recipient| {
            let stage = stage.clone();
            tokio::spawn(async move { stage.request(delivery(recipient)).await })
        })
        .into_iter()
        .collect();
    for waits in waiting {
        let trouble = waits.await.unwrap().unwrap_err();
        assert!(trouble.to_string().contains("a call of `request` did not come back within 200 ms"), "{trouble}");
        assert!(matches!(trouble, Trouble::Parked { .. }));
    }
    assert!(begun.elapsed() < LONG / 2);
    assert!(matches!(stage.request(delivery("c")).await, Err(Trouble::Parked { .. })));
    assert!(matches!(loaded.state(), PluginState::Parked { .. }));
    the_neighbour_answers().await;
}

#[tokio::test]
async fn a_caller_that_gave_up_leaves_nothing_and_the_late_result_is_counted() {
    let loaded = load("sleeps_in_request").unwrap();
    let stage = sender(&loaded);
    let late = stage.request(delivery_within("slow", Duration::from_millis(50))).await.unwrap_err();
    assert_eq!(late.to_string(), "plugin `sleeps-in-request` gave no answer to `request` within 50 ms");
    until("the late result is counted", || loaded.counters().late == 1).await;
    assert!(stage.request(delivery("ann")).await.is_ok());
}

#[tokio::test]
async fn no_more_calls_wait_than_may() {
    let limits = Limits { calls_waiting_max: 2, ..Limits::default() };
    let loaded = load_within("sleeps_in_request", limits).unwrap();
    let stage = sender(&loaded);
    let calls: Vec<_> = (0..10)
        .map(|_| {
            let stage = stage.clone();
            tokio::spawn(async move { stage.request(delivery("slow")).await })
        })
        .collect();
    let mut full = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => {}
            Err(Trouble::Full { waiting: 2, .. }) => full += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!((5..=8).contains(&full), "{full} found it full");
}

#[test]
fn called_directly_it_is_a_plugin_like_one_that_is_linked_in() {
    let plugin = direct(&load("good_pure").unwrap());
    let app = app("shop", json!({"base": "https://x"}));
    let content = map(json!({"a": "1"}));
    let transport = &plugin.http_transports[0].1;
    let credential = Some(Credential { source: "form_id", value: "v" });
    let delivery = Delivery { app: &app, token: "t", credential, recipient: "ann", content: &content, dedupe_id: "1" };
    for _ in 0..3 {
        assert_eq!(transport.request(&delivery).unwrap().url, "https://api.example/ann?t=t");
    }
    let refused = transport.request(&Delivery { recipient: "nobody", ..delivery }).unwrap_err();
    assert_eq!(refused, "recipient: is nobody; so there");
    let read = transport.read(&app, &Response::new(200, b"m-1"));
    assert_eq!(read, Outcome::Accepted { provider_id: Some("m-1".into()) });
    assert_eq!(plugin.token_providers[0].1.fetches_per_day(&app), Some(2000));
    let parts = [("a".to_owned(), Part::Text("b".into()))];
    assert_eq!(plugin.renderers[0].1.render(&app, &parts, &json!(1)).unwrap()["a"], "1");
}
