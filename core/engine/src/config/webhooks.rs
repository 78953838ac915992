//! `[webhooks.NAME]`: who of ours is told what happens.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidings_model::{ChannelName, WebhookName};
use tidings_store::fingerprint;

use super::apps::checked_url;
use super::read::{Section, text};
use super::{ChannelConfig, Names, Reading, SecretUse};
use crate::events::{Content, EventFilter};
use crate::webhooks::{SigningKey, WebhookConfig};

/// Webhooks there may be: each has a courier, and what happens is written once for each that wants it.
const WEBHOOKS_MAX: usize = 32;
/// Secrets of one: the one of now, and those that receivers are to change to or from.
const SECRETS_MAX: usize = 4;

impl Reading<'_> {
    pub(super) fn webhooks(
        &self,
        root: &Section<'_>,
        channels: &Names<ChannelName, ChannelConfig>,
    ) -> BTreeMap<WebhookName, Arc<WebhookConfig>> {
        let mut webhooks = BTreeMap::new();
        for (count, (name, span, section)) in root.named("webhooks").into_iter().enumerate() {
            let webhook = self.webhook(&section, channels);
            match (WebhookName::new(name), webhook) {
                (Ok(_), _) if count == WEBHOOKS_MAX => {
                    section.report(&span, section.path(), format!("more than {WEBHOOKS_MAX} webhooks are defined"));
                }
                (Ok(name), Some(webhook)) => {
                    webhooks.insert(name, Arc::new(webhook));
                }
                (Err(error), _) => section.report(&span, section.path(), error.to_string()),
                (Ok(_), None) => {}
            }
            section.finish();
        }
        webhooks
    }

    fn webhook(&self, section: &Section<'_>, channels: &Names<ChannelName, ChannelConfig>) -> Option<WebhookConfig> {
        let url = self.webhook_url(section);
        let secrets = self.signing_secrets(section);
        let words = section.parsed("events", list).unwrap_or_default();
        let names = section.parsed("channels", |value| {
            let names = list(value)?;
            names.iter().try_for_each(|name| channels.refers("channel", name))?;
            Ok(names)
        });
        let wants = EventFilter::read(words.iter().map(String::as_str), names.unwrap_or_default());
        let wants = match (wants, section.find("events")) {
            (Ok(wants), Some(_)) => Some(wants),
            (Err(message), Some(found)) => {
                section.report(&found.span, &found.path, message);
                None
            }
            (_, None) => {
                section.missing("events", "what is told, as in `[\"message.failed\", \"channel.*\"]`, or `[\"*\"]`");
                None
            }
        };
        let content = match section.choice("content", &["thin", "full"]) {
            Some("full") => Content::Full,
            _ => Content::Thin,
        };
        let ((secrets, fingerprint), url, wants) = (secrets?, url?, wants?);
        Some(WebhookConfig { url, secrets, wants, content, fingerprint })
    }

    /// The address, or where it stands: a secret may be part of it.
    fn webhook_url(&self, section: &Section<'_>) -> Option<String> {
        let Some(found) = section.find("url") else {
            section.missing("url", "where it is posted, as in `https://example.com/hook`");
            return None;
        };
        let url = match found.value.as_str() {
            Some(url) => url.to_owned(),
            None => self.secret(section, &found, SecretUse::Theirs)?.reveal().to_owned(),
        };
        match checked_url(&url) {
            Ok(url) => Some(url),
            Err(message) => {
                section.report(&found.span, &found.path, message);
                None
            }
        }
    }

    /// One secret, or several, and what changes with them.
    fn signing_secrets(&self, section: &Section<'_>) -> Option<(Vec<SigningKey>, i64)> {
        let Some(found) = section.find("secret") else {
            section.missing(
                "secret",
                "what it is signed with: `{ env = \"…\" }` or `{ file = \"…\" }`, or a list of them",
            );
            return None;
        };
        let places = match found.value.as_array() {
            Some(items) => items
                .iter()
                .map(|item| super::read::Found { value: item.get_ref(), span: item.span(), path: found.path.clone() })
                .collect(),
            None => vec![found.clone()],
        };
        if places.is_empty() || places.len() > SECRETS_MAX {
            section.report(&found.span, &found.path, format!("expected one secret, or a list of up to {SECRETS_MAX}"));
            return None;
        }
        let (mut keys, mut texts) = (Vec::new(), String::new());
        for place in &places {
            let secret = self.secret(section, place, SecretUse::Theirs)?;
            match SigningKey::read(secret.reveal()) {
                Ok(key) => keys.push(key),
                Err(message) => {
                    section.report(&place.span, &place.path, message);
                    return None;
                }
            }
            texts.push_str(secret.reveal());
            texts.push('\n');
        }
        Some((keys, fingerprint(texts.as_bytes())))
    }
}

fn list(value: &toml::de::DeValue<'_>) -> Result<Vec<String>, String> {
    let items = value.as_array().ok_or_else(|| "expected a list of strings".to_owned())?;
    items.iter().map(|item| text(item.get_ref())).collect()
}
