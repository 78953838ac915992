//! What WeChat pushes to an address: events as it writes them, signed and encrypted (`wechat.md §3` to §5).
//!
//! Written apart from the plugin that reads it, so that a mistake there is not made here, too.

use aes::Aes256;
use aes::cipher::{BlockEncryptMut, KeyIvInit};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha1::{Digest, Sha1};

/// A 43-character key stands for 258 bits; the last two are idle.
const KEYS: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// What a padded plaintext is a multiple of.
const PADDING: usize = 32;

/// Where and how events are pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Callback {
    /// The address, without a query: `http://127.0.0.1:7380/callbacks/shop`. No TLS here.
    pub url: String,
    /// The Token that both sides sign with.
    pub token: String,
    /// The EncodingAESKey, 43 characters; with it pushes are encrypted, without one they are plain.
    #[serde(default)]
    pub key: Option<String>,
    /// How the content is written.
    #[serde(default)]
    pub format: PushFormat,
    /// How often each push is made: WeChat repeats what it believes unheard.
    #[serde(default = "one")]
    pub copies: u32,
}

fn one() -> u32 {
    1
}

/// How the content of a push is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushFormat {
    /// `<xml>…</xml>`.
    #[default]
    Xml,
    /// `{…}`.
    Json,
}

/// Something to push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum PushEvent {
    /// The check of the address, as the console makes it.
    Check,
    /// A user answered the dialog of a template.
    Popup {
        /// Who.
        openid: String,
        /// Which template.
        template_id: String,
        /// Whether they accepted.
        accepted: bool,
    },
    /// A user withdrew what they had accepted.
    Withdrawn {
        /// Who.
        openid: String,
        /// Which template.
        template_id: String,
    },
    /// What became of a subscription message.
    Sent {
        /// Who was told.
        openid: String,
        /// With which template.
        template_id: String,
        /// Which message.
        msgid: i64,
        /// 0, or why not.
        errcode: i64,
    },
    /// What became of a service-account message.
    Finished {
        /// Who was told.
        openid: String,
        /// Which message.
        msgid: i64,
        /// `success`, or `failed:…`.
        status: &'static str,
    },
}

impl Callback {
    /// Says in a sentence what cannot be.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !self.url.starts_with("http://") || self.url.contains('?') {
            return Err(format!("`url` is `{}`, expected an http:// address without a query", self.url));
        }
        if self.key.as_deref().is_some_and(|key| aes_key(key).is_none()) {
            return Err("`key` is no EncodingAESKey, expected 43 characters of base64".to_owned());
        }
        if self.token.is_empty() || !(1..=10).contains(&self.copies) {
            return Err("`token` is empty, or `copies` is none of 1 to 10".to_owned());
        }
        Ok(())
    }

    /// Method, query and body of a push.
    pub(crate) fn wire(
        &self,
        event: &PushEvent,
        appid: &str,
        now_ms: i64,
        random: [u64; 3],
    ) -> (&'static str, String, String) {
        let (timestamp, nonce) = ((now_ms / 1000).to_string(), (random[0] % 10_000_000_000).to_string());
        let signature = sign(&mut [&self.token, &timestamp, &nonce]);
        let mut query = format!("signature={signature}&timestamp={timestamp}&nonce={nonce}");
        if *event == PushEvent::Check {
            query.push_str(&format!("&echostr={}", random[1]));
            return ("GET", query, String::new());
        }
        let content = self.content(event, now_ms / 1000);
        let Some(key) = self.key.as_deref().and_then(aes_key) else { return ("POST", query, content) };
        let mut scatter = [0; 16];
        scatter[..8].copy_from_slice(&random[1].to_be_bytes());
        scatter[8..].copy_from_slice(&random[2].to_be_bytes());
        let encrypted = encrypt(&key, scatter, content.as_bytes(), appid);
        let signature = sign(&mut [&self.token, &timestamp, &nonce, &encrypted]);
        query.push_str(&format!("&encrypt_type=aes&msg_signature={signature}"));
        let body = match self.format {
            PushFormat::Xml => format!("<xml><ToUserName>gh_sandbox</ToUserName><Encrypt>{encrypted}</Encrypt></xml>"),
            PushFormat::Json => json!({"ToUserName": "gh_sandbox", "Encrypt": encrypted}).to_string(),
        };
        ("POST", query, body)
    }

    fn content(&self, event: &PushEvent, now_s: i64) -> String {
        let (openid, name, wrapper, members) = members(event);
        let mut envelope = vec![
            ("ToUserName", json!("gh_sandbox")),
            ("FromUserName", json!(openid)),
            ("CreateTime", json!(now_s)),
            ("MsgType", json!("event")),
            ("Event", json!(name)),
        ];
        match self.format {
            // One alone stands as itself.
            PushFormat::Json => {
                if wrapper.is_empty() {
                    envelope.extend(members);
                } else {
                    let item: Map<String, Value> =
                        members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                    envelope.push(("List", item.into()));
                }
                let object: Map<String, Value> =
                    envelope.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                Value::Object(object).to_string()
            }
            PushFormat::Xml => {
                let (envelope, members) = (elements(&envelope), elements(&members));
                if wrapper.is_empty() {
                    return format!("<xml>{envelope}{members}</xml>");
                }
                format!("<xml>{envelope}<{wrapper}><List>{members}</List></{wrapper}></xml>")
            }
        }
    }
}

type Members = Vec<(&'static str, Value)>;

/// Whose event it is, its name, what wraps its list in XML, and its members.
fn members(event: &PushEvent) -> (&str, &'static str, &'static str, Members) {
    match event {
        PushEvent::Check => ("", "", "", Vec::new()),
        PushEvent::Popup { openid, template_id, accepted } => {
            let status = if *accepted { "accept" } else { "reject" };
            let members = vec![
                ("TemplateId", json!(template_id)),
                ("SubscribeStatusString", json!(status)),
                ("PopupScene", json!("0")),
            ];
            (openid, "subscribe_msg_popup_event", "SubscribeMsgPopupEvent", members)
        }
        PushEvent::Withdrawn { openid, template_id } => {
            let members = vec![("TemplateId", json!(template_id)), ("SubscribeStatusString", json!("reject"))];
            (openid, "subscribe_msg_change_event", "SubscribeMsgChangeEvent", members)
        }
        PushEvent::Sent { openid, template_id, msgid, errcode } => {
            let status = if *errcode == 0 { "success" } else { "failed" };
            let members = vec![
                ("TemplateId", json!(template_id)),
                ("MsgID", json!(msgid.to_string())),
                ("ErrorCode", json!(errcode.to_string())),
                ("ErrorStatus", json!(status)),
            ];
            (openid, "subscribe_msg_sent_event", "SubscribeMsgSentEvent", members)
        }
        PushEvent::Finished { openid, msgid, status } => {
            (openid, "TEMPLATESENDJOBFINISH", "", vec![("MsgID", json!(msgid)), ("Status", json!(status))])
        }
    }
}

/// A number as it is, a text in CDATA.
fn elements(members: &[(&'static str, Value)]) -> String {
    let element = |(name, value): &(&str, Value)| match value {
        Value::String(text) => format!("<{name}><![CDATA[{}]]></{name}>", text.replace("]]>", "]]]]><![CDATA[>")),
        other => format!("<{name}>{other}</{name}>"),
    };
    members.iter().map(element).collect()
}

fn sign(parts: &mut [&str]) -> String {
    parts.sort_unstable();
    Sha1::digest(parts.concat()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn aes_key(text: &str) -> Option<[u8; 32]> {
    (text.len() == 43).then(|| KEYS.decode(format!("{text}=")).ok()?.try_into().ok())?
}

fn encrypt(key: &[u8; 32], scatter: [u8; 16], message: &[u8], appid: &str) -> String {
    let length = u32::try_from(message.len()).expect("a push is a few hundred bytes").to_be_bytes();
    let mut content = [&scatter, &length[..], message, appid.as_bytes()].concat();
    let padding = PADDING - content.len() % PADDING;
    let byte = u8::try_from(padding).expect("1 to 32");
    content.extend(std::iter::repeat_n(byte, padding));
    let mut encryptor = cbc::Encryptor::<Aes256>::new(key.into(), key[..16].into());
    for block in content.chunks_exact_mut(16) {
        encryptor.encrypt_block_mut(block.into());
    }
    KEYS.encode(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn callback(format: PushFormat) -> Callback {
        Callback {
            url: "http://127.0.0.1:1/callbacks/shop".into(),
            token: "AAAAA".into(),
            key: None,
            format,
            copies: 1,
        }
    }

    #[test]
    fn a_signature_is_the_documented_one() {
        // wechat.md §5.
        let signature = "f464b24fc39322e44b38aa78f5edd27bd1441696";
        assert_eq!(sign(&mut ["AAAAA", "1714036504", "1514711492"]), signature);
    }

    #[test]
    fn the_same_event_is_written_either_way() {
        let event = PushEvent::Popup { openid: "ann".into(), template_id: "T".into(), accepted: true };
        let (_, _, xml) = callback(PushFormat::Xml).wire(&event, "wx1", 1_714_036_504_000, [1514711492, 2, 3]);
        assert!(xml.starts_with("<xml><ToUserName><![CDATA[gh_sandbox]]></ToUserName>"), "{xml}");
        assert!(xml.contains("<CreateTime>1714036504</CreateTime>"), "{xml}");
        assert!(xml.contains("<SubscribeMsgPopupEvent><List><TemplateId><![CDATA[T]]></TemplateId>"), "{xml}");
        let (method, query, json) =
            callback(PushFormat::Json).wire(&event, "wx1", 1_714_036_504_000, [1514711492, 2, 3]);
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["List"]["SubscribeStatusString"], "accept");
        let signed = "signature=f464b24fc39322e44b38aa78f5edd27bd1441696&timestamp=1714036504&nonce=1514711492";
        assert_eq!((method, query.as_str()), ("POST", signed));
    }

    #[test]
    fn a_callback_that_cannot_be_is_refused() {
        assert_eq!(callback(PushFormat::Xml).check(), Ok(()));
        let key = |key: &str| Callback { key: Some(key.to_owned()), ..callback(PushFormat::Xml) };
        assert!(key(&"k".repeat(43)).check().is_ok());
        let wrong = [
            key("short"),
            key(&"-".repeat(43)),
            Callback { url: "https://a.example".into(), ..callback(PushFormat::Xml) },
            Callback { url: "http://a.example/?a".into(), ..callback(PushFormat::Xml) },
            Callback { token: String::new(), ..callback(PushFormat::Xml) },
            Callback { copies: 0, ..callback(PushFormat::Xml) },
        ];
        for wrong in wrong {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }
}
