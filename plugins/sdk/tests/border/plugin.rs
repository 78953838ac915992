//! The plugin under test: it shows what it is given, and panics where it is told to.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tidings_sdk::{
    App, Callback, Carrier, CredentialKind, CredentialSource, Delivery, Fetched, HttpTransport, Intake, Minted,
    Outcome, Part, Pending, Permit, Plugin, Push, PushEvent, Received, Renderer, Reply, Request, Response, Setting,
    SettingKind, Timestamp, TokenProvider, Transport, TransportRules, Violation, log,
};

/// What a panic of this plugin says.
pub(crate) const PANIC: &str = "the probe was told to panic";

const SETTINGS: &[Setting] =
    &[Setting::of("key", SettingKind::Secret, "a secret"), Setting::text("mood", "`odd` does not fit")];

pub(crate) fn plugin() -> Plugin {
    let plugin = Plugin::new("probe", env!("CARGO_PKG_VERSION"));
    #[cfg(feature = "runtime")]
    let plugin = plugin.transport("tasks", tidings_sdk::Asynchronous(Probe));
    plugin
        .app_settings(SETTINGS)
        .check_app(|app| match app.settings.text("mood") {
            "odd" => vec![Violation::new("mood", "is odd"), Violation::new("", "does not fit")],
            _ => Vec::new(),
        })
        .token_provider("token", Probe)
        .credential_source("stub", Probe)
        .renderer("fill", Probe)
        .http_transport("http", Probe)
        .transport("queue", Probe)
        .callback("push", Probe)
}

struct Probe;

/// Panics where the word says so.
fn mind(word: &str) {
    assert_ne!(word, "panic", "{PANIC}");
}

impl TokenProvider for Probe {
    fn request(&self, app: &App) -> Result<Request, String> {
        mind(&app.name);
        match app.settings.text("key") {
            "" => Err("there is no key".into()),
            key => Ok(Request::get(format!("https://a.example/token?mood={}&key={key}", app.settings.text("mood")))),
        }
    }

    fn read(&self, app: &App, response: &Response<'_>) -> Fetched {
        mind(&app.name);
        let detail = String::from_utf8_lossy(response.body).into_owned();
        match response.status {
            200 => Fetched::Token { value: detail, life: Duration::from_secs(7200) },
            429 => Fetched::QuotaExhausted { detail },
            403 => Fetched::Halt { reason: detail },
            _ => Fetched::Retry { after: response.retry_after, detail },
        }
    }

    fn fetches_per_day(&self, app: &App) -> Option<u32> {
        mind(&app.name);
        Some(2000)
    }
}

impl CredentialSource for Probe {
    fn kind(&self) -> CredentialKind {
        CredentialKind {
            life: None,
            uses: 1,
            proves_use: false,
            counted_by_provider: false,
            ripens_in: Duration::ZERO,
            scoped: false,
        }
    }

    fn mints(&self) -> bool {
        true
    }

    fn admit(&self, app: &App, intake: &Intake, now: Timestamp) -> Result<Permit, String> {
        mind(&app.name);
        let value = intake.any(&["value"]).ok_or("`value` is missing")?.to_owned();
        let recipient = intake.any(&["recipient"]).unwrap_or_default().to_owned();
        Ok(Permit {
            recipient,
            scope: Some("T".into()),
            identity: Some(format!("id-{value}")),
            value,
            made_at: Some(now),
            expires_at: Some(Timestamp(now.0 + 5)),
            uses: Some(3),
        })
    }

    fn mint(&self, app: &App, recipient: &str, scope: &str, now: Timestamp) -> Minted {
        mind(&app.name);
        let permit = Permit { recipient: recipient.into(), scope: Some(scope.into()), ..Permit::default() };
        Minted { permit: Some(permit), next_at: Some(Timestamp(now.0 + 1000)) }
    }
}

impl Renderer for Probe {
    fn render(&self, app: &App, parts: &[(String, Part)], data: &Value) -> Result<Map<String, Value>, Violation> {
        mind(&app.name);
        let who = data["who"].as_str().ok_or_else(|| Violation::new("text", "`who` is missing"))?;
        let fill = |how: &str, text: &str| Value::from(format!("{how} {}", text.replace('$', who)));
        let content = parts.iter().map(|(key, part)| {
            let value = match part {
                Part::Fixed(value) => value.clone(),
                Part::Text(text) => fill("text", text),
                Part::Page(text) => fill("page", text),
                Part::Table(rows) => rows.iter().map(|(row, text)| (row.clone(), fill("row", text))).collect(),
            };
            (key.clone(), value)
        });
        Ok(content.filter(|(key, _)| key != "forgotten").collect())
    }
}

impl HttpTransport for Probe {
    fn rules(&self) -> TransportRules {
        TransportRules::default()
    }

    fn check(&self, app: &App, content: &Map<String, Value>) -> Vec<Violation> {
        mind(&app.name);
        content.keys().filter(|key| *key == "bad").map(|key| Violation::new(key, "is bad")).collect()
    }

    fn request(&self, delivery: &Delivery<'_>) -> Result<Request, String> {
        mind(delivery.recipient);
        if delivery.recipient.is_empty() {
            return Err("there is nobody".into());
        }
        log::debug("nobody reads this");
        log::info(format_args!("a request\nfor {}", delivery.app.name));
        #[cfg(feature = "tracing")]
        {
            let _span = tracing::info_span!("sending", unseen = 1).entered();
            tracing::debug!("nobody reads this");
            tracing::warn!(count = 7, to = "ann", "a request");
        }
        let seen = json!({
            "app": delivery.app.name, "token": delivery.token, "recipient": delivery.recipient,
            "credential": delivery.credential.map(|it| [it.source, it.value]), "content": delivery.content,
            "dedupe_id": delivery.dedupe_id,
        });
        Ok(Request::post_json("https://a.example/send".into(), &seen))
    }

    fn read(&self, app: &App, response: &Response<'_>) -> Outcome {
        mind(&app.name);
        outcomes().swap_remove(usize::from(response.status - 100))
    }
}

/// One outcome of each kind, in the order of the header.
pub(crate) fn outcomes() -> Vec<Outcome> {
    let detail = || "why".to_owned();
    vec![
        Outcome::Unknown { detail: detail() },
        Outcome::Accepted { provider_id: Some("p-1".into()) },
        Outcome::Duplicate { detail: detail() },
        Outcome::Rejected { reason: detail() },
        Outcome::CredentialSpent { detail: detail() },
        Outcome::CredentialInvalid { detail: detail() },
        Outcome::RecipientGone { detail: detail() },
        Outcome::TokenRejected { detail: detail() },
        Outcome::Throttled { retry_after: Some(Duration::from_millis(1500)), detail: detail() },
        Outcome::QuotaExhausted { until: Some(Timestamp(99)), detail: detail() },
        Outcome::Retry { after: Some(Duration::from_nanos(1)), detail: detail() },
        Outcome::TemplateBroken { detail: detail() },
        Outcome::Halt { reason: detail() },
    ]
}

/// Messages that the queue holds at most.
pub(crate) const HELD_MAX: usize = 2;

impl Transport for Probe {
    fn rules(&self) -> TransportRules {
        TransportRules::default()
    }

    fn check(&self, app: &App, content: &Map<String, Value>) -> Vec<Violation> {
        HttpTransport::check(self, app, content)
    }

    fn open(&self, app: &App) -> Result<Box<dyn Carrier>, Vec<Violation>> {
        if app.name == "closed" {
            return Err(vec![Violation::new("mood", "is closed")]);
        }
        Ok(Box::new(Queue { name: app.name.clone(), held: Vec::new() }))
    }
}

/// Holds what it takes. The recipient `now` is answered at once; `next` answers the oldest and then takes no more.
struct Queue {
    name: String,
    held: Vec<Pending>,
}

impl Carrier for Queue {
    fn submit(&mut self, pending: Pending) -> Result<(), Box<Pending>> {
        mind(&pending.delivery.recipient);
        match pending.delivery.recipient.as_str() {
            "now" => {
                let id = pending.delivery.dedupe_id.clone();
                pending.answer(Outcome::Accepted { provider_id: Some(id) });
            }
            "next" => {
                self.held.remove(0).answer(Outcome::Accepted { provider_id: None });
                return Err(Box::new(pending));
            }
            _ if self.held.len() == HELD_MAX => return Err(Box::new(pending)),
            _ => self.held.push(pending),
        }
        Ok(())
    }

    fn cancel(&mut self, ids: &[u64]) {
        mind(&self.name);
        for pending in self.held.extract_if(.., |pending| ids.contains(&pending.id())) {
            pending.answer(Outcome::Unknown { detail: "cancelled".into() });
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        mind(&self.name);
    }
}

impl Callback for Probe {
    fn receive(&self, app: &App, push: &Push<'_>) -> Received {
        mind(&app.name);
        let permit = Permit { recipient: "ann".into(), value: "v".into(), ..Permit::default() };
        let events = vec![
            PushEvent::Permit { source: "stub".into(), permit: permit.clone() },
            PushEvent::Refusal { source: "stub".into(), permit },
            PushEvent::Delivered { provider_id: "p-1".into() },
            PushEvent::Failed { provider_id: "p-2".into(), detail: "why".into() },
        ];
        let body = format!("{} {} {:?} {} at {}", push.method, push.query, push.headers, push.body.len(), push.now.0);
        Received { events, reply: Reply { status: 202, content_type: "text/plain".into(), body: body.into_bytes() } }
    }
}

#[cfg(feature = "runtime")]
impl tidings_sdk::AsyncTransport for Probe {
    type Session = ();

    fn rules(&self) -> TransportRules {
        TransportRules::default()
    }

    fn open(&self, _app: &App) -> Result<(), Vec<Violation>> {
        Ok(())
    }

    async fn send(_session: std::sync::Arc<()>, delivery: tidings_sdk::OwnedDelivery) -> Outcome {
        mind(&delivery.recipient);
        log::warn("a task");
        if delivery.recipient == "never" {
            std::future::pending::<()>().await;
        }
        Outcome::Accepted { provider_id: Some(delivery.dedupe_id) }
    }
}
