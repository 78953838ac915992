//! Every recipe of `docs/RECIPES.md`, taken out of the page and sent to a stand-in of its provider.

mod providers;

mod stand_in;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tidings_sdk::{App, Delivery, HttpTransport, Outcome, Plugin, Request, Response, SettingKind, Settings};

use providers::{DINGTALK_TOKEN, FEISHU_HOOK, NTFY_TOKEN, SLACK_WEBHOOK, TELEGRAM_TOKEN, WECOM_KEY};
use stand_in::{Provider, StandIn};

const PAGE: &str = include_str!("../../../../docs/RECIPES.md");

/// How long the stand-in may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A fragment of the page, and somebody to send to.
struct Kitchen {
    plugin: Plugin,
    origin: &'static str,
    stand_in: StandIn,
    /// The app's settings, without the secret.
    settings: Map<String, Value>,
    /// The template's keys, before they are filled in.
    template: Map<String, Value>,
    key: String,
}

impl Kitchen {
    /// Takes the recipe under `heading`, whose provider lives at `origin`.
    fn of(heading: &str, origin: &'static str, provider: Provider, key: &str) -> Kitchen {
        let recipe = fragment(heading);
        let plugin = tidings_webhook::plugin();
        let (app_name, mut settings) = only(&recipe, "apps");
        assert_eq!(settings.remove("plugin"), Some(json!("webhook")));
        assert!(
            settings.remove("secret").is_some_and(|secret| secret["env"].is_string()),
            "one secret, of the environment"
        );
        for name in settings.keys() {
            assert!(plugin.app_settings.iter().any(|setting| setting.name == name), "`{name}` is no setting");
        }
        for setting in plugin.app_settings {
            if let Some(default) = setting.default {
                settings.entry(setting.name).or_insert(default.into());
            }
        }
        let (channel_name, channel) = only(&recipe, "channels");
        assert_eq!((&channel["app"], &channel["transport"]), (&json!(app_name), &json!("webhook.http")));
        assert!(channel["rate"].is_string(), "a provider has a limit");
        let (_, mut template) = only(&recipe, "templates");
        assert_eq!(template.remove("channel"), Some(json!(channel_name)));
        let sample = template.remove("sample").expect("a recipe has a sample");
        let kitchen =
            Kitchen { plugin, origin, stand_in: StandIn::start(provider), settings, template, key: key.to_owned() };

        let (app, content) = (kitchen.app(), kitchen.content(&sample));
        assert_eq!((kitchen.plugin.check_app)(&app), []);
        assert_eq!(kitchen.transport().check(&app, &content), []);
        kitchen
    }

    /// The same with another key.
    fn with_key(self, key: &str) -> Kitchen {
        Kitchen { key: key.to_owned(), ..self }
    }

    fn app(&self) -> App {
        let mut settings = self.settings.clone();
        settings.insert("secret".into(), self.key.as_str().into());
        App { name: "recipe".into(), settings: Settings::new(settings) }
    }

    fn transport(&self) -> &dyn HttpTransport {
        let [(name, transport)] = &self.plugin.http_transports[..] else { panic!("one transport") };
        assert_eq!(*name, "http");
        &**transport
    }

    /// The template, filled in as the engine would, as far as recipes go.
    fn content(&self, data: &Value) -> Map<String, Value> {
        let known = self.transport().rules().template_settings;
        let fill = |text: &Value| {
            let mut text = text.as_str().expect("a string").to_owned();
            for (name, value) in data.as_object().expect("data is an object") {
                text = text.replace(&format!("{{{{ {name} }}}}"), value.as_str().expect("a text"));
            }
            assert!(!text.contains("{{"), "{text}");
            Value::from(text)
        };
        let part = |(key, value): (&String, &Value)| {
            let setting = known.iter().find(|setting| setting.name == key).expect("a template's key");
            let filled = match (setting.kind, value) {
                (SettingKind::TemplateTable, Value::Object(rows)) => {
                    Value::Object(rows.iter().map(|(name, text)| (name.clone(), fill(text))).collect())
                }
                _ => value.clone(),
            };
            (key.clone(), filled)
        };
        self.template.iter().map(part).collect()
    }

    /// Sends a message, and reads what comes back.
    fn send(&self, recipient: &str, data: Value) -> Outcome {
        let (app, content) = (self.app(), self.content(&data));
        assert_eq!(self.transport().check(&app, &content), []);
        let delivery =
            Delivery { app: &app, token: "", credential: None, recipient, content: &content, dedupe_id: "tidings-1-7" };
        let mut request = self.transport().request(&delivery).expect("a recipe can be sent");
        let path = request.url.strip_prefix(self.origin).expect("the address of the provider").to_owned();
        request.url = format!("{}{path}", self.stand_in.origin());
        let (status, retry_after, body) = exchange(&request);
        let outcome = self.transport().read(&app, &Response { status, retry_after, body: &body });
        assert!(!format!("{outcome:?}").contains(&self.key), "{outcome:?}");
        outcome
    }

    #[track_caller]
    fn check(&self, text: &str, expected: &str) {
        let outcome = self.send("ops", json!({"title": "Disk", "text": text}));
        assert_eq!(outcome.name(), expected, "{text}: {outcome:?}");
    }

    #[track_caller]
    fn check_wait(&self, text: &str, expected: Option<u64>) {
        let Outcome::Throttled { retry_after, .. } = self.send("ops", json!({"title": "Disk", "text": text})) else {
            panic!("{text} is not throttled");
        };
        assert_eq!(retry_after, expected.map(Duration::from_secs), "{text}");
    }

    /// What the key's owner is told when it is wrong.
    #[track_caller]
    fn check_bad_key(self, key: &str, words: &str) {
        let outcome = self.with_key(key).send("ops", json!({"title": "Disk", "text": "hello"}));
        assert_eq!(outcome.name(), "halt", "{outcome:?}");
        assert!(outcome.detail().contains(words), "{}", outcome.detail());
    }
}

/// The TOML under a heading of the page, as JSON.
fn fragment(heading: &str) -> Value {
    let section = PAGE.split("\n## ").find(|section| section.lines().next() == Some(heading)).expect("the heading");
    let text = section.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a fragment");
    let table: toml::Table = toml::from_str(text).expect("a fragment is TOML");
    json_of(toml::Value::Table(table))
}

fn json_of(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Table(rows) => rows.into_iter().map(|(name, value)| (name, json_of(value))).collect(),
        other => panic!("no recipe has a {other:?}"),
    }
}

/// The one table under `kind`.
fn only(recipe: &Value, kind: &str) -> (String, Map<String, Value>) {
    let tables = recipe[kind].as_object().expect("a table");
    assert_eq!(tables.len(), 1, "one of `{kind}`");
    let (name, table) = tables.iter().next().expect("there is one");
    (name.clone(), table.as_object().expect("a table").clone())
}

/// Says a request over TCP, as a client would.
fn exchange(request: &Request) -> (u16, Option<Duration>, Vec<u8>) {
    let rest = request.url.strip_prefix("http://").expect("the stand-in's address");
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, target) = rest.split_at(at);
    let slash = if target.starts_with('/') { "" } else { "/" };
    let mut head = format!("{} {slash}{target} HTTP/1.1\r\nhost: {host}\r\n", request.method.as_str());
    for (name, value) in &request.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", request.body.len()));

    let mut stream = TcpStream::connect(host).expect("the stand-in is there");
    stream.set_read_timeout(Some(TIMEOUT)).expect("a socket can wait");
    stream.write_all(&[head.as_bytes(), &request.body].concat()).expect("the stand-in reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the stand-in answers");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer has a head");
    let head = String::from_utf8(answer[..end].to_vec()).expect("a head is text");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let seconds = head.lines().find_map(|line| line.strip_prefix("Retry-After: ")).and_then(|it| it.parse().ok());
    (status, seconds.map(Duration::from_secs), answer.split_off(end + 4))
}

#[test]
fn ntfy() {
    let kitchen = || Kitchen::of("ntfy", "https://ntfy.sh", providers::ntfy, NTFY_TOKEN);
    let accepted = Outcome::Accepted { provider_id: Some("sPs71M8A2T".into()) };
    assert_eq!(kitchen().send("disk_alerts", json!({"title": "Disk", "text": "\"90 %\" full\n磁盘"})), accepted);
    kitchen().check_wait("too fast", None);
    kitchen().check("too many today", "quota_exhausted");
    let refused = kitchen().send("reserved", json!({"title": "", "text": "x"}));
    assert_eq!(refused, Outcome::Rejected { reason: "HTTP 403, code 40301: forbidden".into() });
    assert_eq!(kitchen().send("no topic", json!({"title": "", "text": "x"})).name(), "rejected");
    kitchen().check_bad_key("tk_wrong", "unauthorized");
}

#[test]
fn slack() {
    let kitchen = || Kitchen::of("Slack", "https://hooks.slack.com", providers::slack, SLACK_WEBHOOK);
    kitchen().check("\"90 %\" full\n磁盘", "accepted");
    kitchen().check_wait("too fast", Some(30));
    kitchen().check("", "rejected");
    kitchen().check("archived", "halt");
    kitchen().check("trouble", "unknown");
    kitchen().check_bad_key("T00000000/B00000000/YYYYYYYY", "invalid_token");
}

#[test]
fn telegram() {
    let kitchen = || Kitchen::of("Telegram", "https://api.telegram.org", providers::telegram, TELEGRAM_TOKEN);
    let accepted = Outcome::Accepted { provider_id: Some("365".into()) };
    assert_eq!(kitchen().send("-1001234567890", json!({"text": "\"90 %\" full\n磁盘"})), accepted);
    kitchen().check_wait("too fast", Some(14));
    kitchen().check("", "rejected");
    let gone = kitchen().send("403", json!({"text": "hello"}));
    let detail = "HTTP 403: Forbidden: bot was blocked by the user".to_owned();
    assert_eq!(gone, Outcome::RecipientGone { detail });
    assert_eq!(kitchen().send("404", json!({"text": "hello"})).name(), "recipient_gone");
    kitchen().check_bad_key("123456:WRONG-WRONG", "Unauthorized");
    kitchen().check_bad_key("no/token", "Not Found");
}

#[test]
fn wecom() {
    let kitchen = || Kitchen::of("WeCom", "https://qyapi.weixin.qq.com", providers::wecom, WECOM_KEY);
    kitchen().check("\"90 %\" full\n磁盘", "accepted");
    kitchen().check_wait("too fast", Some(60));
    kitchen().check("trouble", "retry");
    kitchen().check("gateway", "unknown");
    kitchen().check("", "rejected");
    kitchen().check(&"x".repeat(2049), "rejected");
    // WeCom's answer has the key in it: `send` sees to it that the outcome has not.
    kitchen().check_bad_key("693axxx6-wrong-wrong", "invalid webhook url");
}

#[test]
fn dingtalk() {
    let kitchen = || Kitchen::of("DingTalk", "https://oapi.dingtalk.com", providers::dingtalk, DINGTALK_TOKEN);
    kitchen().check("\"90 %\" full\n磁盘", "accepted");
    kitchen().check_wait("too fast", Some(600));
    kitchen().check("stopped", "halt");
    kitchen().check("trouble", "retry");
    kitchen().check_bad_key("566cc69da782ec33", "token is not exist");
}

#[test]
fn feishu() {
    let kitchen = || Kitchen::of("Feishu", "https://open.feishu.cn", providers::feishu, FEISHU_HOOK);
    kitchen().check("\"90 %\" full\n磁盘", "accepted");
    kitchen().check_wait("too fast", None);
    kitchen().check_wait("too many", None);
    kitchen().check(&"x".repeat(21 * 1024), "rejected");
    kitchen().check_bad_key("00000000-wrong", "access token invalid");
}

#[test]
fn no_recipe_is_without_its_test() {
    let names: Vec<&str> = PAGE
        .split("\n## ")
        .filter(|section| section.contains("```toml"))
        .filter_map(|section| section.lines().next())
        .collect();
    assert_eq!(names, ["ntfy", "Slack", "Telegram", "WeCom", "DingTalk", "Feishu"]);
}

#[test]
fn the_example_of_the_readme_is_right() {
    let text = include_str!("../../README.md");
    let text = text.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let table: toml::Table = toml::from_str(text).unwrap();
    let mut settings = json_of(table["apps"]["pager"].clone()).as_object().unwrap().clone();
    settings.remove("plugin");
    settings.insert("method".into(), "POST".into());
    settings.insert("secret".into(), "key".into());
    let app = App { name: "pager".into(), settings: Settings::new(settings) };
    let plugin = tidings_webhook::plugin();
    assert_eq!((plugin.check_app)(&app), []);
    let values = json!({"values": {"title": "db1: disk 90 % full", "level": "2"}});
    let content = values.as_object().unwrap();
    assert_eq!(plugin.http_transports[0].1.check(&app, content), []);
    let delivery =
        Delivery { app: &app, token: "", credential: None, recipient: "ann", content, dedupe_id: "tidings-1-7" };
    let request = plugin.http_transports[0].1.request(&delivery).unwrap();
    assert_eq!(request.url, "https://pager.example/v1/ann/alerts");
    assert_eq!(request.body, br#"{"level":2,"tags":["tidings"],"title":"db1: disk 90 % full"}"#);
}
