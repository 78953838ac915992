//! What a plugin logs.

use serde_json::json;

use crate::fixture::{app, delivery, load, logged, the_neighbour_answers, until};

#[tokio::test]
async fn no_secret_of_a_setting_or_a_delivery_stands_in_a_line() {
    logged();
    let loaded = load("talks").unwrap();
    let stage = loaded.open_http_transport("send", &app("shop", json!({"key": "CANARY-key"}))).unwrap();
    stage.request(delivery("secrets")).await.unwrap();
    let log = logged();
    assert!(log.contains("key … token … credential … end"), "{log}");
    assert!(!log.contains("CANARY"), "{log}");
    assert!(log.lines().any(|line| line.contains("plugin=\"talks\"") && line.contains("app=\"shop\"")), "{log}");
}

#[tokio::test]
async fn no_secret_of_a_setting_or_a_delivery_stands_in_a_refusal() {
    let loaded = load("talks").unwrap();
    let stage = loaded.open_http_transport("send", &app("shop", json!({"key": "CANARY-key"}))).unwrap();
    let refused = stage.request(delivery("refused")).await.unwrap_err();
    assert_eq!(refused.to_string(), "token … of key … is none");
}

#[tokio::test]
async fn no_half_of_a_secret_stands_at_the_end_of_what_a_panic_says() {
    logged();
    let loaded = load("talks").unwrap();
    let stage = loaded.open_http_transport("send", &app("shop", json!({}))).unwrap();
    stage.request(delivery("panicked")).await.unwrap_err();
    let log = logged();
    assert!(log.contains(&format!("{} …", "x".repeat(1018))), "{log}");
    assert!(!log.contains("CANA"), "{log}");
}

#[tokio::test]
async fn a_line_moves_no_cursor_and_is_cut() {
    logged();
    let loaded = load("talks").unwrap();
    let stage = loaded.open_http_transport("send", &app("escapes", json!({}))).unwrap();
    stage.request(delivery("escapes")).await.unwrap();
    stage.request(delivery("long")).await.unwrap();
    stage.request(delivery("trace")).await.unwrap();
    stage.request(delivery("no instance")).await.unwrap();
    stage.request(delivery("null")).await.unwrap();
    let log = logged();
    assert!(log.contains("before [2J  after \u{fffd} end"), "{log}");
    assert!(log.contains(&"x".repeat(4096)) && !log.contains(&"x".repeat(4097)));
    assert!(log.contains("trace is off"));
    assert!(log.contains("said without an instance"));
    assert!(!log.contains("an invented instance"));
    assert_eq!(loaded.counters().misshapen, 1);
}

#[tokio::test]
async fn a_million_lines_are_counted_and_their_number_is_told() {
    logged();
    let loaded = load("talks").unwrap();
    let stage = loaded.open_http_transport("send", &app("million", json!({}))).unwrap();
    stage.request(delivery("million")).await.unwrap();
    let counters = loaded.counters();
    assert_eq!(counters.log_lines + counters.log_lines_left_out, 1_000_000);
    assert!(counters.log_lines < 10_000, "{counters:?}");
    until("the number is told", || logged().lines().any(|line| line.contains("lines of plugin `talks` were left out")))
        .await;
    the_neighbour_answers().await;
}
