//! The callback of the plugin, from outside: pushes that wechatpy made (`vectors/make.py`), and pushes of chance.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tidings_sdk::{App, Callback, Permit, Plugin, Push, PushEvent, Received, Settings, Timestamp};

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/pushes.json")).expect("make.py writes JSON")
}

/// The plugin's app with these settings of its callback.
fn app(appid: &Value, settings: &Value) -> App {
    let mut values =
        Map::from_iter([("appid".to_owned(), appid.clone()), ("secret".to_owned(), json!("CANARY-secret"))]);
    values.extend(settings.as_object().cloned().unwrap_or_default());
    App { name: "shop".into(), settings: Settings::new(values) }
}

fn callback(plugin: &Plugin) -> &dyn Callback {
    &*plugin.callbacks.iter().find(|(name, _)| *name == "push").expect("the plugin has a callback `push`").1
}

fn receive(app: &App, now: i64, method: &str, query: &str, body: &[u8]) -> Received {
    callback(&tidings_wechat::plugin()).receive(app, &Push { now: Timestamp(now), method, query, headers: &[], body })
}

/// An event as the vectors have it. The text of a failure is for people: it only has to be there.
fn shown(event: &PushEvent) -> Value {
    let of = |source: &str, permit: &Permit| {
        assert!(permit.value.is_empty() && permit.uses.is_none() && permit.expires_at.is_none());
        json!({
            "source": source, "recipient": permit.recipient, "scope": permit.scope, "identity": permit.identity,
            "made_at": permit.made_at.map(|at| at.0),
        })
    };
    match event {
        PushEvent::Permit { source, permit } => json!({"permit": of(source, permit)}),
        PushEvent::Refusal { source, permit } => json!({"refusal": of(source, permit)}),
        PushEvent::Delivered { provider_id } => json!({"delivered": provider_id}),
        PushEvent::Failed { provider_id, detail } => {
            assert!(!detail.is_empty());
            json!({"failed": provider_id})
        }
    }
}

#[test]
fn every_push_that_wechatpy_made_is_read_as_it_says() {
    let vectors = vectors();
    let pushes = vectors["pushes"].as_array().unwrap();
    assert!(pushes.len() > 100, "{}", pushes.len());
    for push in pushes {
        let text = |key: &str| push[key].as_str().unwrap();
        let app = app(&vectors["appid"], &push["app"]);
        assert_eq!((tidings_wechat::plugin().check_app)(&app), [], "{}", text("name"));
        let now = vectors["now"].as_i64().unwrap();
        let received = receive(&app, now, text("method"), text("query"), text("body").as_bytes());
        let answer = String::from_utf8(received.reply.body.clone()).unwrap();
        assert_eq!(i64::from(received.reply.status), push["status"].as_i64().unwrap(), "{}: {answer}", text("name"));
        if let Some(expected) = push["answer"].as_str() {
            assert_eq!(answer, expected, "{}", text("name"));
        }
        let events: Vec<Value> = received.events.iter().map(shown).collect();
        assert_eq!(Value::Array(events), push["events"], "{}", text("name"));
    }
}

#[test]
fn an_app_without_a_token_takes_no_push() {
    let vectors = vectors();
    let app = app(&vectors["appid"], &json!({}));
    let push = &vectors["pushes"][0];
    let now = vectors["now"].as_i64().unwrap();
    let received =
        receive(&app, now, "POST", push["query"].as_str().unwrap(), push["body"].as_str().unwrap().as_bytes());
    assert_eq!((received.reply.status, received.events.len()), (404, 0));
    let empty = receive(
        &app,
        now,
        "GET",
        "signature=da39a3ee5e6b4b0d3255bfef95601890afd80709&timestamp=&nonce=&echostr=1",
        b"",
    );
    assert_eq!(empty.reply.status, 404);
}

#[test]
fn a_push_larger_than_64_kib_is_not_read() {
    let (vectors, settings) = (vectors(), json!({"callback_token": "AAAAA"}));
    let app = app(&vectors["appid"], &settings);
    // Signed, so that its size alone is what is wrong with it: the first push is not encrypted.
    let query = vectors["pushes"][0]["query"].as_str().unwrap();
    let largest = format!("{{\"MsgType\":\"text\"}}{}", " ".repeat(64 * 1024 - 18));
    for (body, status) in [(largest.clone(), 200), (largest + " ", 413)] {
        let received = receive(&app, vectors["now"].as_i64().unwrap(), "POST", query, body.as_bytes());
        assert_eq!(received.reply.status, status, "{} bytes", body.len());
    }
}

#[test]
fn no_answer_has_a_secret_in_it() {
    let vectors = vectors();
    for push in vectors["pushes"].as_array().unwrap() {
        let app = app(&vectors["appid"], &push["app"]);
        let now = vectors["now"].as_i64().unwrap();
        let received =
            receive(&app, now, "POST", push["query"].as_str().unwrap(), push["body"].as_str().unwrap().as_bytes());
        let shown = format!("{}{received:?}", String::from_utf8_lossy(&received.reply.body));
        for secret in push["app"].as_object().unwrap().iter().filter(|(name, _)| *name != "callback_mode") {
            assert!(!shown.contains(secret.1.as_str().unwrap()), "{}: {shown}", push["name"]);
        }
    }
}

/// The parameters, rightly named, with whatever values.
fn queries() -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &["signature", "msg_signature", "timestamp", "nonce", "echostr", "encrypt_type"];
    let value = prop_oneof![".{0,8}", "[0-9a-f]{40}", Just("1714037059".to_owned()), "(%[0-9a-f]{2}){0,9}"];
    let pair = (prop::sample::select(NAMES), value).prop_map(|(name, value)| format!("{name}={value}"));
    prop_oneof![".{0,40}", prop::collection::vec(pair, 0..7).prop_map(|pairs| pairs.join("&"))]
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let encrypted = "[A-Za-z0-9+/]{0,200}={0,2}".prop_map(|text| format!("{{\"Encrypt\":\"{text}\"}}").into_bytes());
    let vectors = vectors();
    let pushes = vectors["pushes"].as_array().into_iter().flatten();
    let pushed: Vec<Vec<u8>> =
        pushes.filter_map(|push| push["body"].as_str()).map(|body| body.as_bytes().to_vec()).collect();
    prop_oneof![prop::collection::vec(any::<u8>(), 0..300), encrypted, prop::sample::select(pushed)]
}

proptest! {
    // A failing case is told; what matters of it becomes a vector.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_is_not_signed_has_an_event(
        query in queries(),
        body in bodies(),
        method in prop::sample::select(vec!["GET", "POST"]),
        with_key in any::<bool>(),
    ) {
        let vectors = vectors();
        let key = if with_key { "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFb" } else { "" };
        // No push of the vectors is signed with this token.
        let app = app(&vectors["appid"], &json!({"callback_token": "unheardof", "callback_key": key}));
        let received = receive(&app, 1_714_037_059_000, method, &query, &body);
        prop_assert!(matches!(received.reply.status, 400 | 401 | 413), "{}", received.reply.status);
        prop_assert!(received.events.is_empty());
    }

    #[test]
    fn a_byte_changed_on_the_way_of_an_encrypted_push_leaves_no_event_of_another_content(
        which in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        change in 1u8..=255,
    ) {
        let vectors = vectors();
        let all = vectors["pushes"].as_array().unwrap();
        // Of those that are taken both ways, what is in the clear may be read instead: that is what compatible means.
        let is_secure = |push: &&Value| push["app"]["callback_key"].is_string() && push["app"]["callback_mode"].is_null();
        let secure: Vec<&Value> = all.iter().filter(is_secure).filter(|push| push["method"] == "POST").collect();
        let push = secure[which.index(secure.len())];
        let app = app(&vectors["appid"], &push["app"]);
        let mut body = push["body"].as_str().unwrap().as_bytes().to_vec();
        let place = place.index(body.len());
        body[place] ^= change;
        let query = push["query"].as_str().unwrap();
        let received = receive(&app, 1_714_037_059_000, "POST", query, &body);
        let events: Vec<Value> = received.events.iter().map(shown).collect();
        // A change outside the content (a space, a name nobody reads) may leave the push what it was.
        prop_assert!(events.is_empty() || Value::Array(events) == push["events"]);
    }
}
