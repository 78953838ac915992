//! What the tests of several modules need: an app, a delivery, content.

use serde_json::{Map, Value, json};
use tidings_sdk::{App, Credential, Delivery, Request, Settings};

/// Stands for the app's secret; must never be seen.
pub(crate) const SECRET: &str = "CANARY-appsecret";
/// Stands for the app's token; must never be seen.
pub(crate) const TOKEN: &str = "CANARY-access-token";

/// A JSON object as a map.
pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("not an object: {other}"),
    }
}

/// An app with these settings beside its appid and secret.
pub(crate) fn app(settings: Value) -> App {
    let mut values = object(json!({"appid": "wx0123456789abcdef", "secret": SECRET}));
    values.extend(object(settings));
    App { name: "shop".into(), settings: Settings::new(values) }
}

/// A delivery to openid `o-ann` with the test's token.
pub(crate) fn delivery<'a>(
    app: &'a App,
    content: &'a Map<String, Value>,
    credential: Option<Credential<'a>>,
) -> Delivery<'a> {
    Delivery { app, token: TOKEN, credential, recipient: "o-ann", content, dedupe_id: "01JA-dedupe" }
}

/// A request's body as text.
pub(crate) fn body(request: &Request) -> &str {
    std::str::from_utf8(&request.body).unwrap()
}
