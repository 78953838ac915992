//! acme: a transport for Tidings. It says what to send over HTTP and what an answer means; Tidings does the talking.

use tidings_sdk::prelude::*;

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

impl Provider for Acme {
    type Template = Message;

    /// Pure: the same message always makes the same request. No clock, no sockets, no files.
    fn request(&self, delivery: &Delivery<'_>, message: Message) -> Result<Request, String> {
        let body = json!({"to": delivery.recipient, "text": &*message.text, "id": delivery.dedupe_id});
        Ok(Request::post_json(format!("{}/messages", self.endpoint), &body).bearer(&self.key))
    }

    /// What the answer means. `outcome_of` reads the status alone, on the safe side.
    fn read(&self, response: &Response<'_>) -> Outcome {
        let provider_id = || response.json()?.get("id")?.as_str().map(str::to_owned);
        match outcome_of(response) {
            Outcome::Accepted { .. } => Outcome::Accepted { provider_id: provider_id() },
            other => other,
        }
    }
}

/// The plugin `acme`: transport `message`.
pub fn plugin() -> Plugin {
    Plugin::new("acme", env!("CARGO_PKG_VERSION")).provider::<Acme>("message")
}

tidings_sdk::export!(name: "acme", roles: [http_transport], plugin: plugin());
