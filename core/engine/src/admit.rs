//! Admission: everything that can be known to be wrong with a message is said before it is accepted.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use tidings_model::limits::{CREDENTIAL_BYTES_MAX, DATA_BYTES_MAX};
use tidings_model::{ChannelName, IdempotencyKey, Recipient, RunId, TemplateName, Timestamp};
use tidings_sdk::{Intake, Permit};
use tidings_store::{ChannelId, Fingerprint, NewCredential, NewMessage, TemplateId};

use crate::config::{Config, CredentialStage, duration, no_such};
use crate::refusal::{Class, Refusal};
use crate::stages::StageError;

/// How far ahead a message may be scheduled.
const AHEAD_MAX_DAYS: u64 = 366;

/// A message as it was asked for.
#[derive(Debug, Clone, Default)]
pub struct Submission {
    /// What is said.
    pub template: String,
    /// Who is told.
    pub to: String,
    /// What the template is filled with.
    pub data: Map<String, Value>,
    /// Not before: RFC 3339.
    pub send_at: Option<String>,
    /// Not after: RFC 3339.
    pub expires_at: Option<String>,
    /// Higher goes first.
    pub priority: i8,
    /// The key under which the same request may come twice.
    pub key: Option<String>,
    /// The run that makes it.
    pub run: Option<RunId>,
}

/// Says yes or no to messages and credentials: it looks at config and asks plugins, and nothing else.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) config: Arc<Config>,
    pub(crate) channels: HashMap<ChannelName, ChannelId>,
    pub(crate) templates: HashMap<TemplateName, TemplateId>,
}

impl Admission {
    /// The message to accept, or why not.
    pub(crate) async fn message(&self, submission: Submission, now: Timestamp) -> Result<NewMessage, Refusal> {
        let (name, template) = self.config.templates.get_key_value(submission.template.as_str()).ok_or_else(|| {
            let known: Vec<&str> = self.config.templates.keys().map(TemplateName::as_str).collect();
            let detail = no_such("template", &shown(&submission.template), &known);
            Refusal::not_found("template-unknown", detail)
        })?;
        let recipient = Recipient::new(submission.to.as_str())
            .map_err(|error| Refusal::invalid("recipient-invalid", error.to_string()))?;
        let key = submission
            .key
            .as_deref()
            .map(IdempotencyKey::new)
            .transpose()
            .map_err(|error| Refusal::invalid("key-invalid", error.to_string()))?;
        let body_hash = fingerprint(&submission);
        let data = Value::Object(submission.data);
        let channel = self.config.channels.get(&template.channel).ok_or_else(|| {
            Refusal::not_found("channel-unknown", format!("there is no channel `{}`", template.channel))
        })?;
        let unfit = |error: StageError| match error {
            StageError::Absent(detail) | StageError::Late(detail) => {
                Refusal::new(Class::Unavailable, "plugin-absent", detail)
            }
            StageError::Refused(detail) | StageError::Panicked(detail) | StageError::Broken(detail) => {
                Refusal::invalid("data-invalid", format!("template `{name}`: {detail}"))
            }
        };
        let content = template.body.render(&data).await.map_err(unfit)?;
        let violations = match channel.transport.check(&content).await {
            // It is asked again before the send: a message that came while the plugin was parked is taken and waits.
            Err(StageError::Absent(_) | StageError::Late(_)) => Vec::new(),
            checked => checked.map_err(unfit)?,
        };
        if let Some(violation) = violations.first() {
            let detail = format!("template `{name}`: `{}`: {}", violation.field, violation.problem);
            return Err(Refusal::invalid("data-invalid", detail));
        }
        let data = serde_json::to_string(&data).expect("JSON is always JSON");
        if data.len() > DATA_BYTES_MAX {
            let detail = format!("the data is {} bytes; at most {DATA_BYTES_MAX} are taken", data.len());
            return Err(Refusal::invalid("data-too-large", detail));
        }
        let send_at = instant("send_at", submission.send_at.as_deref(), now)?;
        let expires_at = instant("expires_at", submission.expires_at.as_deref(), now)?
            .or_else(|| channel.expires_after.map(|after| send_at.unwrap_or(now).max(now).after(after)));
        if expires_at.is_some_and(|end| end <= send_at.unwrap_or(now).max(now)) {
            return Err(Refusal::invalid("expired", "`expires_at` is over before the message could be sent"));
        }
        Ok(NewMessage {
            channel: self.channels[&template.channel],
            template: self.templates[name],
            recipient,
            data,
            key,
            body_hash,
            send_at,
            expires_at,
            priority: submission.priority,
            run: submission.run,
            trace: None,
        })
    }

    /// The app a credential is for: the one that is named, or the only one that takes this source.
    pub(crate) fn stage(
        &self,
        source: &str,
        app: Option<&str>,
    ) -> Result<(&CredentialStage, tidings_model::AppName), Refusal> {
        let mut taking: Vec<(&CredentialStage, &tidings_model::AppName)> = self
            .config
            .channels
            .values()
            .flat_map(|channel| channel.credentials.iter().map(move |stage| (stage, &channel.app)))
            .filter(|(stage, _)| stage.name.as_str() == source)
            .collect();
        if taking.is_empty() {
            let mut known: Vec<&str> = self
                .config
                .channels
                .values()
                .flat_map(|channel| channel.credentials.iter().map(|stage| stage.name.as_str()))
                .collect();
            known.sort_unstable();
            known.dedup();
            let detail =
                format!("no channel takes credentials of `{}`; there are: {}", shown(source), known.join(", "));
            return Err(Refusal::not_found("source-unknown", detail));
        }
        taking.sort_by_key(|(_, app)| *app);
        taking.dedup_by_key(|(_, app)| *app);
        match app {
            Some(name) => taking
                .iter()
                .find(|(_, app)| app.as_str() == name)
                .map(|(stage, app)| (*stage, (*app).clone()))
                .ok_or_else(|| {
                    Refusal::not_found("app-unknown", format!("no channel of app `{}` takes `{source}`", shown(name)))
                }),
            None if taking.len() == 1 => Ok((taking[0].0, taking[0].1.clone())),
            None => {
                let apps: Vec<&str> = taking.iter().map(|(_, app)| app.as_str()).collect();
                let detail = format!("several apps take `{source}`: {}; name one with `?app=`", apps.join(", "));
                Err(Refusal::invalid("app-ambiguous", detail))
            }
        }
    }

    /// The credential to take in, or why it is none.
    ///
    /// # Errors
    ///
    /// Nobody can say now: the plugin is not there.
    pub(crate) async fn credential(
        &self,
        stage: &CredentialStage,
        app: &tidings_model::AppName,
        intake: &Intake,
        now: Timestamp,
    ) -> Result<Result<NewCredential, String>, Refusal> {
        match stage.source.admit(intake, now).await {
            Ok(permit) => Ok(Admission::permit(stage, app, permit, now)),
            // Nothing is wrong with the permit: it is to be posted again.
            Err(StageError::Absent(detail) | StageError::Late(detail)) => {
                Err(Refusal::new(Class::Unavailable, "plugin-absent", detail))
            }
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    /// A permit as the ledger takes it, or why it does not.
    pub(crate) fn permit(
        stage: &CredentialStage,
        app: &tidings_model::AppName,
        permit: Permit,
        now: Timestamp,
    ) -> Result<NewCredential, String> {
        let kind = stage.source.kind();
        let recipient = Recipient::new(permit.recipient).map_err(|error| error.to_string())?;
        if permit.value.len() > CREDENTIAL_BYTES_MAX {
            return Err(format!("the value is {} bytes; at most {CREDENTIAL_BYTES_MAX} are taken", permit.value.len()));
        }
        // No store may alter what is sent, and a database's texts have no such character.
        let texts = [Some(&permit.value), permit.identity.as_ref(), permit.scope.as_ref()];
        if texts.into_iter().flatten().any(|text| text.contains('\0')) {
            return Err(
                "it has the character U+0000 in it, which no permit has; post it as the provider gave it".to_owned()
            );
        }
        if kind.scoped && permit.scope.is_none() {
            return Err("it names no template of the provider, and is good for one only".to_owned());
        }
        // A poster's clock may lie ahead; a credential does not live longer for it.
        let made_at = permit.made_at.unwrap_or(now).min(now);
        let expires_at = permit.expires_at.or_else(|| kind.life.map(|life| made_at.after(life)));
        if expires_at.is_some_and(|end| end <= now) {
            return Err("it has expired".to_owned());
        }
        Ok(NewCredential {
            app: app.clone(),
            source: stage.name.clone(),
            recipient,
            scope: permit.scope,
            value: permit.value,
            identity: permit.identity,
            uses: permit.uses.unwrap_or(kind.uses).clamp(1, kind.uses),
            expires_at,
            made_at: permit.made_at.map(|at| at.min(now)),
        })
    }
}

/// The fingerprint of the request in one form, whatever order its members came in: what a repeat is compared by.
fn fingerprint(submission: &Submission) -> i64 {
    let Submission { template, to, data, send_at, expires_at, priority, key: _, run: _ } = submission;
    let mut fingerprint = Fingerprint::default();
    serde_json::to_writer(&mut fingerprint, &(template, to, data, send_at, expires_at, priority))
        .expect("texts and JSON are always JSON, and a fingerprint takes every byte");
    fingerprint.finish()
}

/// An instant of a request: RFC 3339, or `+10m` from now.
pub(crate) fn instant(name: &str, text: Option<&str>, now: Timestamp) -> Result<Option<Timestamp>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    let relative = text.strip_prefix('+').and_then(|wait| duration(wait).ok()).map(|wait| now.after(wait));
    let Some(at) = relative.or_else(|| Timestamp::from_rfc3339(text)) else {
        let detail = format!("`{name}` is `{}`; write it as in `2026-01-31T09:00:00+08:00` or `+10m`", shown(text));
        return Err(Refusal::invalid("time-invalid", detail));
    };
    if at > now.after(std::time::Duration::from_secs(AHEAD_MAX_DAYS * 86_400)) {
        return Err(Refusal::invalid("time-invalid", format!("`{name}` is more than {AHEAD_MAX_DAYS} days ahead")));
    }
    Ok(Some(at))
}

/// What a caller sent, fit to be shown back.
fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Repeats come across an upgrade, too: what is kept of a request must not change.
    #[test]
    fn the_fingerprint_of_a_request_is_that_of_its_json_array() {
        let whole = Submission {
            template: "order-paid".to_owned(),
            to: "o\"订".to_owned(),
            data: json!({"b": [1, 2.5, null], "a": {"é": true}}).as_object().expect("an object").clone(),
            send_at: Some("+10m".to_owned()),
            expires_at: None,
            priority: -3,
            key: Some("k".to_owned()),
            run: None,
        };
        for submission in [whole, Submission::default()] {
            let Submission { template, to, data, send_at, expires_at, priority, .. } = &submission;
            let text = json!([template, to, data, send_at, expires_at, priority]).to_string();
            assert_eq!(fingerprint(&submission), tidings_store::fingerprint(text.as_bytes()));
        }
        let plain = Submission { template: "t".to_owned(), to: "u".to_owned(), ..Submission::default() };
        assert_eq!(fingerprint(&plain), tidings_store::fingerprint(br#"["t","u",{},null,null,0]"#));
    }
}
