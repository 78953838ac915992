//! What the tests of several modules need: an app, content, a delivery.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tidings_sdk::{App, OwnedDelivery, Settings};

/// Stands for the app's password; must never be seen.
pub(crate) const PASSWORD: &str = "CANARY-password";

/// A JSON object as a map.
pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("not an object: {other}"),
    }
}

/// An app with these settings beside those that it needs; `null` takes one away.
pub(crate) fn app(settings: Value) -> App {
    let mut values = object(json!({
        "host": "smtp.example.com", "tls": "starttls", "username": "shop", "password": PASSWORD,
        "from": "Shop <news@example.com>", "connections": 8,
    }));
    values.extend(object(settings));
    values.retain(|_, value| !value.is_null());
    App { name: "shop".into(), settings: Settings::new(values) }
}

/// A delivery of that content to Ann.
pub(crate) fn delivery(content: Value) -> OwnedDelivery {
    OwnedDelivery {
        token: String::new(),
        credential: None,
        recipient: "ann@example.org".into(),
        content: object(content),
        dedupe_id: "tidings-abc-17".into(),
        timeout: Duration::from_secs(10),
    }
}
