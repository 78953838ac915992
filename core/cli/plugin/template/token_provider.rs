//! acme: a token provider for Tidings, and a transport that shows the token. Tidings fetches, keeps, renews and counts.

use std::time::Duration;

use tidings_sdk::prelude::*;
use tidings_sdk::{Fetched, TokenProvider};

tidings_sdk::settings! {
    /// An account at Acme: what `[apps.NAME]` has in config.
    pub struct Acme {
        /// where Acme answers
        endpoint: Url = "http://127.0.0.1:8787",
        /// the key from Acme's console
        key: Secret,
    }
}

tidings_sdk::settings! {
    /// What Acme sends: what `[templates.NAME]` has.
    pub struct Message {
        /// what is said
        text: Template,
    }
}

struct Token;

impl TokenProvider for Token {
    /// Pure: no clock, no sockets, no files.
    fn request(&self, app: &App) -> Result<Request, String> {
        let account: Acme = app.settings.read();
        Ok(Request::post_json(format!("{}/token", account.endpoint), &json!({"key": &*account.key})))
    }

    /// The token and its life; or whether another try is worth it.
    fn read(&self, _app: &App, response: &Response<'_>) -> Fetched {
        let answer = response.json().unwrap_or_default();
        let token = answer["token"].as_str().filter(|token| !token.is_empty());
        match (response.status, token, answer["expires_in"].as_u64()) {
            (200..=299, Some(token), Some(seconds)) => {
                Fetched::Token { value: token.to_owned(), life: Duration::from_secs(seconds) }
            }
            (401 | 403, ..) => Fetched::Halt { reason: format!("HTTP {}: the key is refused", response.status) },
            (429, ..) => Fetched::Retry { after: response.retry_after, detail: "HTTP 429".to_owned() },
            (status, ..) => Fetched::retry(format!("HTTP {status} without a token")),
        }
    }
}

impl Provider for Acme {
    type Template = Message;

    fn request(&self, delivery: &Delivery<'_>, message: Message) -> Result<Request, String> {
        let body = json!({"to": delivery.recipient, "text": &*message.text, "id": delivery.dedupe_id});
        Ok(Request::post_json(format!("{}/messages", self.endpoint), &body).bearer(delivery.token))
    }
}

/// The plugin `acme`: token provider `token`, transport `message`.
pub fn plugin() -> Plugin {
    Plugin::new("acme", env!("CARGO_PKG_VERSION")).token_provider("token", Token).provider::<Acme>("message")
}

tidings_sdk::export!(name: "acme", roles: [token_provider, http_transport], plugin: plugin());
