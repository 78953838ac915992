//! The plugin as Tidings uses it, without Tidings.

use tidings_sdk::prelude::*;
use tidings_sdk::testing::Harness;

fn harness() -> Harness {
    Harness::new(acme_plugin::plugin(), &json!({"endpoint": "https://acme.example", "key": "KEY"})).unwrap()
}

#[test]
fn a_message_becomes_a_request() {
    let request = harness().request("message", "ann", &json!({"text": "Hello"})).unwrap();
    assert_eq!(request.url, "https://acme.example/messages");
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!((&body["to"], &body["text"]), (&json!("ann"), &json!("Hello")));
}

#[test]
fn an_answer_becomes_an_outcome() {
    let reply = |status, body: &str| harness().reply("message", status, body.as_bytes());
    assert_eq!(reply(200, r#"{"id": "7"}"#), Outcome::Accepted { provider_id: Some("7".to_owned()) });
    assert_eq!(reply(200, "<html>"), Outcome::Accepted { provider_id: None });
    for (status, name) in [(410, "recipient_gone"), (429, "throttled"), (400, "rejected"), (500, "unknown")] {
        assert_eq!(reply(status, "").name(), name);
    }
}

#[test]
fn the_key_is_shown_to_the_provider_and_to_nobody_else() {
    let request = harness().request("message", "ann", &json!({"text": "Hello"})).unwrap();
    assert!(request.headers.iter().any(|(_, value)| value == "Bearer KEY"));
    assert!(!format!("{request:?}").contains("KEY"));
}
