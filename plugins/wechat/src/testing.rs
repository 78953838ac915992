//! What the tests of several modules need: an app, a delivery, content, and the stages of the plugin.
//!
//! Tests that speak to a stage get it here, from `crate::plugin`: these modules are compiled once more for the tests of the
//! plugin file, where that is the plugin on the other side of the border.

use serde_json::{Map, Value, json};
use tidings_sdk::{
    App, Credential, CredentialSource, Delivery, HttpTransport, Request, Settings, Stages, TokenProvider,
};

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
    std::str::from_utf8(&request.body).expect("WeChat is sent text")
}

/// The plugin's token provider.
pub(crate) fn access_token() -> Box<dyn TokenProvider> {
    stage(crate::plugin().token_providers, "access_token")
}

/// A credential source of the plugin.
pub(crate) fn credential_source(name: &str) -> Box<dyn CredentialSource> {
    stage(crate::plugin().credential_sources, name)
}

/// A transport of the plugin.
pub(crate) fn http_transport(name: &str) -> Box<dyn HttpTransport> {
    stage(crate::plugin().http_transports, name)
}

fn stage<T: ?Sized>(stages: Stages<T>, name: &str) -> Box<T> {
    let stage = stages.into_iter().find(|(stage, _)| *stage == name);
    stage.unwrap_or_else(|| panic!("the plugin has no such stage `{name}`")).1
}
