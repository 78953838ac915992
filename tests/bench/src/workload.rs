//! What is sent: the same message whoever sends it, told apart by its number.

use serde_json::{Map, Value, json};
use tidings_engine::Submission;
use tidings_sdk::Intake;

pub(crate) const CHANNEL: &str = "orders";
pub(crate) const TEMPLATE: &str = "order-paid";
pub(crate) const SOURCE: &str = "wechat.form_id";
pub(crate) const APP: &str = "shop";

/// What stands before the number in a recipient.
const RECIPIENT: &str = "openid-";

/// Whether the messages need a credential each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A mini-program's template message: one form_id for each.
    Credentials,
    /// A service account's template message: none.
    Free,
}

impl Kind {
    pub(crate) fn of(no_credentials: bool) -> Kind {
        if no_credentials { Kind::Free } else { Kind::Credentials }
    }

    /// Where such a message is posted, after the provider's address.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Kind::Credentials => "/cgi-bin/message/wxopen/template/send",
            Kind::Free => "/cgi-bin/message/template/send",
        }
    }

    /// The config of an engine on this store that sends such messages to the provider, so many at once.
    pub(crate) fn config(self, store: &str, provider: &str, in_flight: u32) -> String {
        let (stages, template) = match self {
            Kind::Credentials => (
                "credential = \"wechat.form_id\"\ntransport = \"wechat.template\"",
                "page = \"pages/x?id={{ id }}\"\nemphasis = \"keyword1\"",
            ),
            Kind::Free => ("transport = \"wechat.official_template\"", "url = \"https://shop.example/x?id={{ id }}\""),
        };
        format!(
            r#"version = 1

[store]
url = "{store}"
keep_done = "3650d"

[apps.{APP}]
plugin  = "wechat"
appid   = "wx0123456789abcdef"
sandbox = "{provider}"

[channels.{CHANNEL}]
app       = "{APP}"
token     = "wechat.access_token"
renderer  = "template"
in_flight = {in_flight}
{stages}

[templates.{TEMPLATE}]
channel     = "{CHANNEL}"
template_id = "tpl"
{template}
data = {{ keyword1 = "{{{{ title }}}}", keyword2 = "{{{{ code }}}}", keyword3 = "{{{{ total }}}}" }}
sample = {{ id = "1", title = "hello world", code = "abc", total = "def" }}
"#
        )
    }

    /// The body that a provider is sent, as the transport writes it.
    pub(crate) fn body(self, number: u32) -> Value {
        let data = json!({
            "keyword1": {"value": "hello world"},
            "keyword2": {"value": "abc"},
            "keyword3": {"value": "def"},
        });
        match self {
            Kind::Credentials => json!({
                "touser": recipient(number), "template_id": "tpl", "page": format!("pages/x?id={number}"),
                "form_id": form_id(number), "data": data, "emphasis_keyword": "keyword1.DATA",
            }),
            Kind::Free => json!({
                "touser": recipient(number), "template_id": "tpl", "url": format!("https://shop.example/x?id={number}"),
                "client_msg_id": format!("tidings-0123456789ab-{number}"), "data": data,
            }),
        }
    }
}

/// Who is told. Everybody is told once.
pub(crate) fn recipient(number: u32) -> String {
    format!("{RECIPIENT}{number}")
}

/// The number of the message in a body that arrived.
pub(crate) fn number(body: &Value) -> Option<u32> {
    body.get("touser")?.as_str()?.strip_prefix(RECIPIENT)?.parse().ok()
}

pub(crate) fn form_id(number: u32) -> String {
    format!("form-{number}")
}

pub(crate) fn key(number: u32) -> String {
    format!("key-{number}")
}

/// What the template is filled with.
pub(crate) fn data(number: u32) -> Map<String, Value> {
    let texts = [("id", number.to_string()), ("title", "hello world".to_owned())];
    let rest = [("code", "abc".to_owned()), ("total", "def".to_owned())];
    texts.into_iter().chain(rest).map(|(name, text)| (name.to_owned(), text.into())).collect()
}

pub(crate) fn submission(number: u32) -> Submission {
    Submission {
        template: TEMPLATE.to_owned(),
        to: recipient(number),
        data: data(number),
        key: Some(key(number)),
        ..Submission::default()
    }
}

/// The credential of that message, as a mini-program posts it.
pub(crate) fn intake(number: u32) -> Intake {
    Intake::new([("form_id".to_owned(), form_id(number)), ("openid".to_owned(), recipient(number))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_tells_its_number() {
        for kind in [Kind::Credentials, Kind::Free] {
            assert_eq!(number(&kind.body(42)), Some(42));
        }
        assert_eq!(number(&json!({"touser": "somebody"})), None);
    }

    #[test]
    fn both_configs_are_read_without_a_mistake() {
        for kind in [Kind::Credentials, Kind::Free] {
            let text = kind.config("sqlite://tidings.db", "http://127.0.0.1:1", 256);
            let registry = tidings_engine::Registry::new([tidings_wechat::plugin()]);
            let world = tidings_engine::config::World::process();
            let config = tidings_engine::Config::read("bench", &text, std::env::temp_dir(), &registry, &world).unwrap();
            assert_eq!(config.channels.len(), 1);
        }
    }
}
