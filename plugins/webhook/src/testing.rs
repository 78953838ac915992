//! What the tests of several modules need: an app, content, a delivery.

use serde_json::{Map, Value, json};
use tidings_sdk::{App, Delivery, Request, Settings};

/// Stands for the app's secret; must never be seen.
pub(crate) const CANARY: &str = "T000/B000/CANARY-secret";

/// A JSON object as a map.
pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("not an object: {other}"),
    }
}

/// An app with these settings beside the defaults, and with the test's secret unless they say otherwise.
pub(crate) fn app(settings: Value) -> App {
    let mut values = object(json!({"method": "POST", "url": "https://hook.example/send", "secret": CANARY}));
    values.extend(object(settings));
    values.retain(|_, value| !value.is_null());
    App { name: "chat".into(), settings: Settings::new(values) }
}

/// A delivery to `ann`.
pub(crate) fn delivery<'a>(app: &'a App, content: &'a Map<String, Value>) -> Delivery<'a> {
    Delivery { app, token: "", credential: None, recipient: "ann", content, dedupe_id: "tidings-1-7" }
}

/// A request's body as text.
pub(crate) fn body(request: &Request) -> &str {
    std::str::from_utf8(&request.body).unwrap()
}
