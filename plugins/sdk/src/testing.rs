//! A plugin in a plain test: without an engine, a network, or a file.
//!
//! What is refused is said as the engine would refuse it: settings by the plugin's own description. Strings of a template
//! stand for what the renderer has made of them.

use std::fmt;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Map, Value};
use tidings_model::{Outcome, spelling};

use crate::http::{Request, Response};
use crate::plugin::Plugin;
use crate::settings::{App, NUMBER_MAX, Setting, SettingKind, Settings};
use crate::transport::{Credential, Delivery, HttpTransport, OwnedDelivery, Pending, Transport, Violation};

/// How long [`Harness::deliver`] waits for an answer.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A plugin and an app of it.
pub struct Harness {
    plugin: Plugin,
    app: App,
    token: String,
    credential: Option<(String, String)>,
}

impl Harness {
    /// The plugin with an app of these settings; durations are written as in config.
    ///
    /// # Errors
    ///
    /// Every setting that is missing or wrong, and what the plugin itself finds wrong.
    pub fn new(plugin: Plugin, settings: &Value) -> Result<Harness, Vec<Violation>> {
        let settings = Settings::new(checked(plugin.app_settings, settings)?);
        let app = App { name: "test".to_owned(), settings };
        none((plugin.check_app)(&app))?;
        Ok(Harness { plugin, app, token: String::new(), credential: None })
    }

    /// The same, with a token for every message.
    pub fn with_token(self, token: &str) -> Harness {
        Harness { token: token.to_owned(), ..self }
    }

    /// The same, with a credential for every message.
    pub fn with_credential(self, source: &str, value: &str) -> Harness {
        Harness { credential: Some((source.to_owned(), value.to_owned())), ..self }
    }

    /// The app, its settings checked and its defaults filled in.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// What an HTTP transport asks for to send this template to somebody.
    ///
    /// # Errors
    ///
    /// What is wrong with the template, by its settings or by the transport's rules, or why there is no request.
    ///
    /// # Panics
    ///
    /// The plugin has no such transport.
    pub fn request(&self, transport: &str, recipient: &str, template: &Value) -> Result<Request, Vec<Violation>> {
        let transport = self.http_transport(transport);
        let content = checked(transport.rules().template_settings, template)?;
        none(transport.check(&self.app, &content))?;
        let credential = self.credential.as_ref().map(|(source, value)| Credential { source, value });
        let (token, content) = (self.token.as_str(), &content);
        let delivery = Delivery { app: &self.app, token, credential, recipient, content, dedupe_id: "test-1" };
        transport.request(&delivery).map_err(|reason| vec![Violation::new("", reason)])
    }

    /// What an HTTP transport reads from an answer.
    ///
    /// # Panics
    ///
    /// The plugin has no such transport.
    pub fn reply(&self, transport: &str, status: u16, body: &[u8]) -> Outcome {
        self.read(transport, &Response::new(status, body))
    }

    /// What an HTTP transport reads from an answer with a time to come back.
    ///
    /// # Panics
    ///
    /// The plugin has no such transport.
    pub fn read(&self, transport: &str, response: &Response<'_>) -> Outcome {
        self.http_transport(transport).read(&self.app, response)
    }

    /// Sends one message through a transport that does its own talking, and waits for what came of it.
    ///
    /// # Errors
    ///
    /// What is wrong with the settings or the template.
    ///
    /// # Panics
    ///
    /// The plugin has no such transport, it takes no message, or has no answer within [`PATIENCE`].
    pub fn deliver(&self, transport: &str, recipient: &str, template: &Value) -> Result<Outcome, Vec<Violation>> {
        let transport = self.transport(transport);
        let content = checked(transport.rules().template_settings, template)?;
        none(transport.check(&self.app, &content))?;
        let mut carrier = transport.open(&self.app)?;
        let delivery = OwnedDelivery {
            token: self.token.clone(),
            credential: self.credential.clone(),
            recipient: recipient.to_owned(),
            content,
            dedupe_id: "test-1".to_owned(),
            timeout: PATIENCE,
        };
        let (sender, answer) = mpsc::sync_channel(1);
        // Nobody listens any more once the test has failed.
        let pending = Pending::new(1, delivery, Box::new(move |outcome| drop(sender.send(outcome))));
        if let Err(pending) = carrier.submit(pending) {
            pending.defuse();
            panic!("the transport takes no message, not even the first");
        }
        Ok(answer.recv_timeout(PATIENCE).expect("the transport answers every message in time"))
    }

    fn http_transport(&self, name: &str) -> &dyn HttpTransport {
        let stage = self.plugin.http_transports.iter().find(|(stage, _)| *stage == name);
        &*stage.unwrap_or_else(|| panic!("plugin `{}` has no http_transport `{name}`", self.plugin.name)).1
    }

    fn transport(&self, name: &str) -> &dyn Transport {
        let stage = self.plugin.transports.iter().find(|(stage, _)| *stage == name);
        &*stage.unwrap_or_else(|| panic!("plugin `{}` has no transport `{name}`", self.plugin.name)).1
    }
}

impl fmt::Debug for Harness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness").field("plugin", &self.plugin).field("app", &self.app).finish_non_exhaustive()
    }
}

fn none(violations: Vec<Violation>) -> Result<(), Vec<Violation>> {
    if violations.is_empty() { Ok(()) } else { Err(violations) }
}

/// The values of these settings: what is given, and the defaults.
///
/// # Errors
///
/// Everything that is unknown, missing or wrong.
///
/// # Panics
///
/// A default is no value of its own setting: the plugin is wrong.
pub fn checked(settings: &[Setting], given: &Value) -> Result<Map<String, Value>, Vec<Violation>> {
    let Some(given) = given.as_object() else { return Err(vec![Violation::new("", "expected a table")]) };
    let (mut values, mut violations) = (Map::new(), Vec::new());
    let names: Vec<&str> = settings.iter().map(|setting| setting.name).collect();
    for name in given.keys().filter(|name| !names.contains(&name.as_str())) {
        let near = spelling::nearest(name, &names).map(|near| format!("; did you mean `{near}`?"));
        violations.push(Violation::new(name, format!("there is no such setting{}", near.unwrap_or_default())));
    }
    for setting in settings {
        let value = match (given.get(setting.name), setting.default) {
            (Some(value), _) => value_of(setting.kind, value).map(Some),
            (None, Some(text)) => {
                let value = default_value(setting.kind, text);
                let value = value.unwrap_or_else(|why| panic!("the default of `{}` is wrong: {why}", setting.name));
                Ok(Some(value))
            }
            (None, None) if setting.required => Err(format!("is missing: {}", setting.about)),
            (None, None) => Ok(None),
        };
        match value {
            Ok(Some(value)) => drop(values.insert(setting.name.to_owned(), value)),
            Ok(None) => {}
            Err(problem) => violations.push(Violation::new(setting.name, problem)),
        }
    }
    none(violations).map(|()| values)
}

/// A default is text, whatever its setting is.
fn default_value(kind: SettingKind, text: &str) -> Result<Value, String> {
    match kind {
        SettingKind::Number { .. } | SettingKind::Boolean => {
            let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
            value_of(kind, &value)
        }
        _ => value_of(kind, &text.into()),
    }
}

fn value_of(kind: SettingKind, value: &Value) -> Result<Value, String> {
    let text = || value.as_str().filter(|text| !text.is_empty()).ok_or_else(|| "expected a string".to_owned());
    let is_right = match kind {
        SettingKind::Choice(words) => {
            let word = text()?;
            words.contains(&word).then_some(()).ok_or_else(|| format!("`{word}` is none of {}", words.join(", ")))
        }
        SettingKind::Url => {
            let url = text()?;
            let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
            (!host.is_empty()).then_some(()).ok_or_else(|| "expected an http or https address".to_owned())
        }
        SettingKind::Number { min, max } => value
            .as_u64()
            .filter(|number| (min..=max).contains(number))
            .map(drop)
            .ok_or_else(|| format!("expected a whole number from {min} to {}", max.min(NUMBER_MAX))),
        SettingKind::Boolean => value.as_bool().map(drop).ok_or_else(|| "expected true or false".to_owned()),
        SettingKind::Duration => return milliseconds(text()?),
        SettingKind::TextList => {
            let are_texts = value.as_array().is_some_and(|items| items.iter().all(Value::is_string));
            are_texts.then_some(()).ok_or_else(|| "expected a list of strings".to_owned())
        }
        SettingKind::TextTable | SettingKind::TemplateTable => {
            let are_texts = value.as_object().is_some_and(|rows| rows.values().all(Value::is_string));
            are_texts.then_some(()).ok_or_else(|| "expected a table of strings".to_owned())
        }
        SettingKind::Text | SettingKind::Secret | SettingKind::Template | SettingKind::PageTemplate => text().map(drop),
    };
    is_right.map(|()| value.clone())
}

/// `250ms`, `5s`, `10m`, `2h`, `7d`, as config has them.
fn milliseconds(text: &str) -> Result<Value, String> {
    let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000_u64)];
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let millis = units.iter().find(|(name, _)| *name == unit).map(|(_, millis)| *millis);
    let value = number.parse::<u64>().ok().zip(millis).and_then(|(number, millis)| number.checked_mul(millis));
    value.map(Value::from).ok_or_else(|| format!("`{text}` is no duration; write it as in `250ms`, `5s`, `10m`"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SETTINGS: &[Setting] = &[
        Setting::of("url", SettingKind::Url, "where").required(),
        Setting::of("wait", SettingKind::Duration, "how long").default("5s"),
        Setting::of("count", SettingKind::Number { min: 1, max: 9 }, "how many").default("5"),
        Setting::of("mood", SettingKind::Choice(&["calm", "odd"]), "which"),
        Setting::of("rows", SettingKind::TemplateTable, "what"),
        Setting::of("names", SettingKind::TextList, "who"),
        Setting::of("flag", SettingKind::Boolean, "whether").default("true"),
    ];

    #[test]
    fn settings_that_are_right_come_with_their_defaults() {
        let values = checked(SETTINGS, &json!({"url": "http://a.example", "wait": "2m"})).unwrap();
        let expected = json!({"url": "http://a.example", "wait": 120_000, "count": 5, "flag": true});
        assert_eq!(Value::Object(values), expected);
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let given = json!({
            "ur": "x", "wait": "5 parsecs", "count": 10, "mood": "sad", "rows": ["x"], "names": [1], "flag": "yes",
        });
        let violations = checked(SETTINGS, &given).unwrap_err();
        let fields: Vec<&str> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["ur", "url", "wait", "count", "mood", "rows", "names", "flag"]);
        assert!(violations[0].problem.contains("`url`"), "{violations:?}");
        for url in ["", "a.example", "https://"] {
            assert!(checked(SETTINGS, &json!({"url": url})).is_err(), "{url}");
        }
    }
}
