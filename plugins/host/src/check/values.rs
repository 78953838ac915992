//! Values to try a plugin with: settings, templates and messages of its own description, and garbage.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tidings_sdk::{OwnedDelivery, Setting, SettingKind, StageDescription, TransportRules};

use super::Asked;
use super::rig::Rig;

/// Where nobody listens (the port of the service `discard`): what is sent there arrives nowhere.
pub(super) const NOWHERE: u16 = 9;

/// Chance that can be repeated (xorshift64*, Vigna 2016). Good enough to mix cases.
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Chance {
        Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// A number under `bound`, which is over zero.
    pub(super) fn under(&mut self, bound: usize) -> usize {
        usize::try_from(self.next()).unwrap_or(0) % bound
    }

    /// Bytes that nobody meant.
    pub(super) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    /// The body of an answer as no provider should send it.
    pub(super) fn body(&mut self) -> Vec<u8> {
        const BODIES: &[&str] = &[
            "",
            "{",
            "null",
            "[]",
            "{}",
            "\"text\"",
            "<html><body>502 Bad Gateway</body></html>",
            r#"{"errcode": "zero", "errmsg": 7}"#,
            r#"{"errcode": -9223372036854775808, "id": [], "access_token": {}, "expires_in": -1}"#,
            r#"{"access_token": "", "token": "", "expires_in": 1e308, "message_id": ""}"#,
            "\u{feff}{\"id\": \"\u{202e}\u{0}\", \"error\": {\"error\": {\"error\": null}}}",
        ];
        match self.under(16) {
            0 => vec![b'{'; 256 * 1024],
            1 => self.bytes(300),
            2 => [b"{\"errmsg\": \"", &self.bytes(50)[..], b"\"}"].concat(),
            3 => format!("{{\"errmsg\": \"{}\"}}", "x".repeat(200 * 1024)).into_bytes(),
            _ => {
                let body = BODIES[self.under(BODIES.len())].as_bytes();
                body[..body.len() - self.under(body.len() + 1) / 4].to_vec()
            }
        }
    }
}

/// A secret that can be found again.
pub(super) fn canary(name: &str) -> String {
    format!("CANARY-{name}-5f3a9c71e2b84d06")
}

/// Settings of an app that leads nowhere, and what it is told to send to.
pub(super) fn app(rig: &Rig, asked: &Asked, port: u16) -> Map<String, Value> {
    let talks = rig.talks();
    let value = |setting: &Setting| {
        let name = setting.name.to_owned();
        if let Some(given) = asked.given.app.get(setting.name) {
            return Some((name, given.clone()));
        }
        if setting.kind == SettingKind::Secret {
            return setting.required.then(|| (name, canary(setting.name).into()));
        }
        if let Some(elsewhere) = talks.then(|| nowhere(setting, port)).flatten() {
            return Some((name, elsewhere));
        }
        // An example of what may be left out is no default: with it another thing may become required.
        let text = setting.default.or(setting.example.filter(|_| setting.required));
        match text.and_then(|text| from_text(setting.kind, text)) {
            Some(value) => Some((name, value)),
            None => setting.required.then(|| (name, invented(setting.kind))),
        }
    };
    rig.description.app_settings.iter().filter_map(value).collect()
}

/// The value of a setting that says where a transport connects to.
fn nowhere(setting: &Setting, port: u16) -> Option<Value> {
    let text = setting.default.or(setting.example).unwrap_or_default();
    let is_address = text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    match setting.kind {
        SettingKind::Url => Some(format!("http://127.0.0.1:{port}").into()),
        SettingKind::Number { min, max } if setting.name == "port" && (min..=max).contains(&port.into()) => {
            Some(port.into())
        }
        SettingKind::Text if is_address => Some(format!("127.0.0.1:{port}").into()),
        SettingKind::Text if matches!(setting.name, "host" | "server" | "hostname") => Some("127.0.0.1".into()),
        _ => None,
    }
}

/// A default or an example, as the value that it is.
fn from_text(kind: SettingKind, text: &str) -> Option<Value> {
    match kind {
        SettingKind::Number { .. } => text.parse::<u64>().ok().map(Value::from),
        SettingKind::Boolean => text.parse::<bool>().ok().map(Value::from),
        SettingKind::Duration => milliseconds(text).map(Value::from),
        SettingKind::TextList => Some(json!([text])),
        SettingKind::TextTable | SettingKind::TemplateTable => {
            let table: Option<Map<String, Value>> = serde_json::from_str(text).ok();
            table.map(Value::Object)
        }
        _ => Some(text.into()),
    }
}

fn milliseconds(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let factor = match &text[digits..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(factor)
}

fn invented(kind: SettingKind) -> Value {
    match kind {
        SettingKind::Choice(words) => words.first().copied().unwrap_or_default().into(),
        SettingKind::Url => format!("http://127.0.0.1:{NOWHERE}").into(),
        SettingKind::Number { min, .. } => min.into(),
        SettingKind::Boolean => false.into(),
        SettingKind::Duration => 1000.into(),
        SettingKind::TextList => json!(["text"]),
        SettingKind::TextTable | SettingKind::TemplateTable => json!({"key": "text"}),
        SettingKind::PageTemplate => "pages/show?id=1".into(),
        _ => "text".into(),
    }
}

/// A rendered template of a transport.
pub(super) fn content(rules: &TransportRules, asked: &Asked) -> Map<String, Value> {
    let value = |setting: &Setting| {
        let text = setting.example.or(setting.default);
        let made = asked.given.template.get(setting.name).cloned();
        let made = made.or_else(|| text.and_then(|text| from_text(setting.kind, text)));
        let made = made.or_else(|| setting.required.then(|| invented(setting.kind)));
        made.map(|made| (setting.name.to_owned(), made))
    };
    rules.template_settings.iter().filter_map(value).collect()
}

/// A message of that content.
pub(super) fn delivery(
    asked: &Asked,
    stage: &StageDescription,
    rules: &TransportRules,
    content: Map<String, Value>,
) -> OwnedDelivery {
    let credential = rules.credentials.first().map(|source| ((*source).to_owned(), canary("credential")));
    OwnedDelivery {
        token: canary("token"),
        credential,
        recipient: asked.given.recipient.clone().unwrap_or_else(|| "ann@example.com".to_owned()),
        content,
        dedupe_id: format!("check-{}", stage.name),
        timeout: Duration::from_secs(5),
    }
}

/// Contents as templates and data can make them, by mistake or by malice.
pub(super) fn strange_contents(content: &Map<String, Value>, chance: &mut Chance) -> Vec<Map<String, Value>> {
    const TEXTS: &[&str] = &[
        "",
        " ",
        "\0",
        "\r\n.\r\nQUIT\r\n",
        "\"\\\u{2028}</script>",
        "订单已付款 🎉 e\u{301}",
        "{{ name }}{name}%s%n",
        "\u{202e}x",
    ];
    let mut contents = vec![Map::new()];
    for key in content.keys() {
        for text in TEXTS {
            let mut strange = content.clone();
            let value = match &content[key] {
                Value::Object(rows) => {
                    rows.keys().map(|row| (row.clone(), Value::from(*text))).collect::<Map<_, _>>().into()
                }
                _ => Value::from(*text),
            };
            strange.insert(key.clone(), value);
            contents.push(strange);
        }
        for value in [json!("x".repeat(100_000)), json!(7), json!([]), json!({}), json!(null), json!(true)] {
            let mut strange = content.clone();
            strange.insert(key.clone(), value);
            contents.push(strange);
        }
    }
    let mut unknown = content.clone();
    unknown.insert(format!("unknown-{}", chance.under(1000)), "text".into());
    contents.push(unknown);
    contents
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_garbage() {
        let bodies = |seed| {
            let mut chance = Chance::new(seed);
            (0..50).map(|_| chance.body()).collect::<Vec<_>>()
        };
        assert_eq!(bodies(1), bodies(1));
        assert_ne!(bodies(1), bodies(2));
    }

    #[test]
    fn an_example_becomes_the_value_that_it_is() {
        let number = SettingKind::Number { min: 0, max: 9 };
        assert_eq!(from_text(number, "7"), Some(json!(7)));
        assert_eq!(from_text(SettingKind::Duration, "5s"), Some(json!(5000)));
        assert_eq!(from_text(SettingKind::Duration, "soon"), None);
        assert_eq!(from_text(SettingKind::Boolean, "true"), Some(json!(true)));
        assert_eq!(from_text(SettingKind::TemplateTable, r#"{"a": "b"}"#), Some(json!({"a": "b"})));
    }

    #[test]
    fn what_says_where_to_connect_leads_nowhere() {
        let text = |name, example| nowhere(&Setting::text(name, "").example(example), 9);
        assert_eq!(text("host", "smtp.example.com"), Some(json!("127.0.0.1")));
        assert_eq!(text("relay", "mail.example.com:25"), Some(json!("127.0.0.1:9")));
        assert_eq!(text("from", "Shop <news@example.com>"), None);
        assert_eq!(nowhere(&Setting::number("port", ""), 25), Some(json!(25)));
        assert_eq!(nowhere(&Setting::of("url", SettingKind::Url, ""), 9), Some(json!("http://127.0.0.1:9")));
    }
}
