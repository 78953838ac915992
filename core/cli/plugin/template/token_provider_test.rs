//! The plugin as Tidings uses it, without Tidings.

use std::time::Duration;

use tidings_sdk::Fetched;
use tidings_sdk::prelude::*;
use tidings_sdk::testing::Harness;

fn harness() -> Harness {
    Harness::new(acme_plugin::plugin(), &json!({"endpoint": "https://acme.example", "key": "KEY"})).unwrap()
}

fn fetched(status: u16, body: &str) -> Fetched {
    let plugin = acme_plugin::plugin();
    let (_, token) = &plugin.token_providers[0];
    token.read(harness().app(), &Response::new(status, body.as_bytes()))
}

#[test]
fn a_token_is_asked_for_with_the_key() {
    let plugin = acme_plugin::plugin();
    let (_, token) = &plugin.token_providers[0];
    let request = token.request(harness().app()).unwrap();
    assert_eq!(request.url, "https://acme.example/token");
    assert_eq!(serde_json::from_slice::<Value>(&request.body).unwrap(), json!({"key": "KEY"}));
}

#[test]
fn a_token_is_read_with_its_life() {
    let token = Fetched::Token { value: "T".to_owned(), life: Duration::from_secs(7200) };
    assert_eq!(fetched(200, r#"{"token": "T", "expires_in": 7200}"#), token);
    assert!(matches!(fetched(401, ""), Fetched::Halt { .. }));
    assert!(matches!(fetched(500, "<html>"), Fetched::Retry { .. }));
    assert!(matches!(fetched(200, "{}"), Fetched::Retry { .. }));
}

#[test]
fn the_token_is_shown_with_each_message() {
    let request = harness().with_token("T").request("message", "ann", &json!({"text": "Hello"})).unwrap();
    assert!(request.headers.iter().any(|(_, value)| value == "Bearer T"));
}
