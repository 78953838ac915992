//! What providers push: permits given, permits taken back, receipts.
//!
//! The app's plugin proves and reads a push; what it tells is written in one transaction, and the provider is answered
//! after the commit. A provider that hears nothing pushes again: everything here may come twice.

use std::time::Duration;

use tidings_host::OwnedPush;
use tidings_model::limits::PROVIDER_ID_BYTES_MAX;
use tidings_model::{AppName, Recipient, SourceName, Timestamp, secret};
use tidings_sdk::{Permit, PushEvent, Reply};
use tidings_store::{NewCredential, Receipt, Withdrawal};

use crate::admit::Admission;
use crate::config::AppConfig;
use crate::events::cut;
use crate::handle::EngineHandle;
use crate::refusal::{Class, Refusal};
use crate::stages::StageError;

/// A provider's clock tells whole seconds, as WeChat's does: what was given in the second of a withdrawal was given before
/// it.
const PROVIDERS_SECOND: Duration = Duration::from_millis(999);

/// A request from a provider, as it came.
#[derive(Clone, Default)]
pub struct Pushed {
    /// GET or POST.
    pub method: String,
    /// The query, without the question mark.
    pub query: String,
    /// Headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Pushed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} bytes)", self.method, self.body.len())
    }
}

/// What a push changes, all of it or nothing.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) credentials: Vec<NewCredential>,
    pub(crate) withdrawals: Vec<Withdrawal>,
    pub(crate) receipts: Vec<Receipt>,
}

impl EngineHandle {
    /// Takes what a provider pushes to an app. When the answer is there, what the push says is on disk.
    ///
    /// # Errors
    ///
    /// The app takes no pushes, or nothing can be read or written now: the provider is to push again.
    pub async fn receive(&self, app: &str, pushed: Pushed) -> Result<Reply, Refusal> {
        let definitions = self.definitions();
        let Some((name, config)) = definitions.config.apps.get_key_value(app) else { return Err(no_callback(app)) };
        let Some(stage) = &config.callback else { return Err(no_callback(app)) };
        let now = self.shared.clock.now();
        let Pushed { method, query, headers, body } = pushed;
        let received = match stage.receive(OwnedPush { now, method, query, headers, body }).await {
            Ok(received) => received,
            Err(StageError::Absent(detail) | StageError::Late(detail)) => {
                return Err(Refusal::new(Class::Unavailable, "plugin-absent", detail));
            }
            Err(StageError::Refused(detail) | StageError::Panicked(detail) | StageError::Broken(detail)) => {
                tracing::error!(app, "a push could not be read: {detail}");
                return Err(Refusal::invalid("push-unreadable", detail));
            }
        };
        if received.reply.status == 404 {
            return Err(no_callback(app));
        }
        if !received.events.is_empty() {
            let effects = effects(&definitions.admission, name, config, received.events, now);
            self.shared.writer.push(effects).await?;
        }
        let mut reply = received.reply;
        if !(200..300).contains(&reply.status) {
            let told = secret::without(
                String::from_utf8_lossy(&reply.body).into_owned(),
                config.secrets.iter().map(String::as_str),
            );
            let told = cut(told);
            tracing::debug!(app, status = reply.status, "a push was refused: {told}");
            reply.body = told.into_bytes();
        }
        Ok(reply)
    }
}

/// Strangers ask, too: whether there is such an app is not for them.
fn no_callback(app: &str) -> Refusal {
    let app: String = app.chars().take(64).flat_map(char::escape_debug).collect();
    let detail = format!(
        "no app `{app}` takes pushes of its provider; one does when it has the settings that its plugin names for them, as \
         `callback_token` of wechat"
    );
    Refusal::not_found("callback-unknown", detail)
}

/// What these events change. What cannot be is told in the log and left out: pushed again it would be the same.
fn effects(
    admission: &Admission,
    app: &AppName,
    config: &AppConfig,
    events: Vec<PushEvent>,
    now: Timestamp,
) -> Effects {
    let mut effects = Effects::default();
    for event in events {
        let added = match event {
            PushEvent::Permit { source, permit } => {
                let source = format!("{}.{source}", config.plugin);
                credential(admission, app, &source, permit, now).map(|new| effects.credentials.push(new))
            }
            PushEvent::Refusal { source, permit } => {
                withdrawal(app, &format!("{}.{source}", config.plugin), permit, now)
                    .map(|withdrawal| effects.withdrawals.push(withdrawal))
            }
            PushEvent::Delivered { provider_id } => {
                receipt(app, provider_id, None, now).map(|receipt| effects.receipts.push(receipt))
            }
            PushEvent::Failed { provider_id, detail } => {
                let detail = cut(secret::without(detail, config.secrets.iter().map(String::as_str)));
                receipt(app, provider_id, Some(detail), now).map(|receipt| effects.receipts.push(receipt))
            }
        };
        if let Err(reason) = added {
            tracing::warn!(app = app.as_str(), "something that a provider pushed is left out: {reason}");
        }
    }
    effects
}

fn credential(
    admission: &Admission,
    app: &AppName,
    source: &str,
    permit: Permit,
    now: Timestamp,
) -> Result<NewCredential, String> {
    let (stage, app) = admission.stage(source, Some(app.as_str())).map_err(|refusal| refusal.detail)?;
    Admission::permit(stage, &app, permit, now).map_err(|reason| format!("a permit of `{source}`: {reason}"))
}

fn withdrawal(app: &AppName, source: &str, permit: Permit, now: Timestamp) -> Result<Withdrawal, String> {
    Ok(Withdrawal {
        app: app.clone(),
        source: SourceName::new(source).map_err(|error| error.to_string())?,
        recipient: Recipient::new(permit.recipient).map_err(|error| error.to_string())?,
        scope: permit.scope,
        identity: permit.identity,
        given_until: permit.made_at.map_or(now, |at| at.after(PROVIDERS_SECOND)),
    })
}

/// A receipt: of a message that arrived, or with why it did not.
fn receipt(app: &AppName, provider_id: String, failed: Option<String>, now: Timestamp) -> Result<Receipt, String> {
    if provider_id.contains('\0') {
        return Err("a receipt names its message with the character U+0000 in it, as no provider does".to_owned());
    }
    if provider_id.is_empty() || provider_id.len() > PROVIDER_ID_BYTES_MAX {
        return Err(format!(
            "a receipt names its message with {} bytes; 1 to {PROVIDER_ID_BYTES_MAX} are taken",
            provider_id.len()
        ));
    }
    let (delivered, detail) = (failed.is_none(), failed.unwrap_or_default());
    Ok(Receipt { app: app.clone(), provider_id, delivered, detail, received_at: now })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> AppName {
        AppName::new("shop").unwrap()
    }

    #[test]
    fn a_withdrawal_is_of_all_that_was_given_in_its_second_and_before() {
        let permit =
            |made_at| Permit { recipient: "ann".into(), scope: Some("T".into()), made_at, ..Permit::default() };
        let until =
            |made_at| withdrawal(&shop(), "wechat.subscription", permit(made_at), Timestamp(7)).unwrap().given_until;
        assert_eq!(until(Some(Timestamp(1_714_037_059_000))), Timestamp(1_714_037_059_999));
        assert_eq!(until(None), Timestamp(7), "without a time it is of all there are");
        let nobody = Permit { recipient: String::new(), ..permit(None) };
        assert!(withdrawal(&shop(), "wechat.subscription", nobody, Timestamp(7)).is_err());
    }

    #[test]
    fn a_receipt_says_whether_and_why_not_and_names_a_message() {
        let receipt = |name: &str, failed: Option<&str>| {
            receipt(&shop(), name.to_owned(), failed.map(str::to_owned), Timestamp(7))
        };
        let arrived = receipt("1", None).unwrap();
        assert_eq!((arrived.delivered, arrived.detail.as_str(), arrived.received_at), (true, "", Timestamp(7)));
        let failed = receipt("1", Some("user block")).unwrap();
        assert_eq!((failed.delivered, failed.detail.as_str()), (false, "user block"));
        assert!(receipt(&"1".repeat(PROVIDER_ID_BYTES_MAX), None).is_ok());
        assert!(receipt(&"1".repeat(PROVIDER_ID_BYTES_MAX + 1), None).is_err() && receipt("", None).is_err());
    }
}
