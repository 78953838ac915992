//! One attempt: token, render, request, HTTP, read. The stages decide; the effects are here, in their order.

use std::future::{Future as _, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use serde_json::{Map, Value};
use tidings_model::secret;
use tidings_model::settle::{may_try, rescue, rescue_later, settle};
use tidings_model::{Attempt, Clock, CredentialFacts, Outcome, Timestamp};
use tidings_sdk::Credential;
use tidings_store::{Claimed, Orphan, Settle};

use crate::clock::random;
use crate::config::ChannelConfig;
use crate::definitions::{Definitions, Present, present};
use crate::events::{Whose, cut};
use crate::http::{Exchange, Http};
use crate::stages::{Begun, Parcel, StageError};
use crate::token::{Token, Trouble};
use crate::writer::{Finished, WriterHandle};

/// Everything an attempt needs. One for the engine's life.
pub(crate) struct Pipeline {
    pub(crate) present: Present,
    pub(crate) http: Http,
    pub(crate) writer: WriterHandle,
    pub(crate) clock: Arc<dyn Clock>,
    /// What tells this store's messages from another's in a provider's dedupe window.
    pub(crate) instance: String,
}

/// Of a message that may have arrived, and that nothing proves.
const NO_MORE_TRIES: &str = "cannot be tried again without the risk of a second copy";

/// A refusal on the way that is an outcome of its own.
type Stopped = Outcome;

impl Pipeline {
    /// Makes the attempt and hands its outcome to the writer. Never panics, and always hands one over.
    pub(crate) async fn attempt(self: Arc<Self>, claimed: Claimed) {
        let started_at = self.clock.now();
        let definitions = present(&self.present);
        let Some(channel) = definitions.channel(claimed.channel) else {
            tracing::error!(message = %claimed.message, "claimed from a channel that config does not have");
            return;
        };
        let attempt = Attempt {
            number: claimed.attempts.saturating_add(1),
            rescues: claimed.rescues,
            ambiguous: claimed.ambiguous,
            credential: facts(
                channel,
                claimed.credential.as_ref().map(|bound| (bound.source.as_str(), bound.expires_at, bound.taken_at)),
            ),
            dedupe_until: dedupe_until(channel, claimed.first_try_at),
            expires_at: claimed.expires_at,
        };
        let outcome = if may_try(&attempt, &channel.policy, channel.timeout, started_at) {
            self.supervised(&definitions, channel, &claimed, &attempt).await
        } else {
            Outcome::Unknown { detail: NO_MORE_TRIES.to_owned() }
        };
        let ended_at = self.clock.now();
        let settlement = settle(&outcome, &attempt, &channel.policy, ended_at, random());
        tracing::debug!(message = %claimed.message, outcome = outcome.name(), to = %settlement.to, "attempt ended");
        let settle = Settle {
            message: claimed.message,
            generation: claimed.generation,
            channel: claimed.channel,
            started_at,
            ended_at,
            outcome: outcome.name(),
            settlement,
            rescued: false,
        };
        let whose = Whose { template: claimed.template, recipient: claimed.recipient };
        self.writer.settle(Finished { whose, settle }).await;
    }

    /// Settles what a crash left in the middle of an attempt.
    pub(crate) fn rescue(&self, orphan: &Orphan) -> Option<Settle> {
        let definitions = present(&self.present);
        let channel = definitions.channel(orphan.channel)?;
        let now = self.clock.now();
        let attempt = Attempt {
            number: orphan.attempts.saturating_add(1),
            rescues: orphan.rescues.saturating_add(1),
            ambiguous: orphan.ambiguous,
            credential: facts(
                channel,
                orphan.credential.as_ref().map(|(source, end, taken)| (source.as_str(), *end, *taken)),
            ),
            dedupe_until: dedupe_until(channel, orphan.first_try_at),
            expires_at: orphan.expires_at,
        };
        let rescue = if channel.trouble().is_some() { rescue_later } else { rescue };
        let settlement = rescue(&attempt, &channel.policy, now, random());
        Some(Settle {
            message: orphan.message,
            generation: orphan.generation,
            channel: orphan.channel,
            started_at: orphan.claimed_at,
            ended_at: now,
            outcome: "crashed",
            settlement,
            rescued: true,
        })
    }

    /// Delivers, and whatever breaks in there, this attempt still ends with an outcome.
    async fn supervised(
        &self,
        definitions: &Definitions,
        channel: &ChannelConfig,
        claimed: &Claimed,
        attempt: &Attempt,
    ) -> Outcome {
        let mut secrets: Vec<String> = claimed.credential.iter().map(|bound| bound.value.clone()).collect();
        let outcome = {
            let mut delivering = pin!(self.deliver(definitions, channel, claimed, attempt, &mut secrets));
            // Nothing is asked of what a panic leaves behind: it is dropped here.
            let step = move |context: &mut Context<'_>| match catch_unwind(AssertUnwindSafe(|| {
                delivering.as_mut().poll(context)
            })) {
                Ok(poll) => poll.map(Some),
                Err(_) => Poll::Ready(None),
            };
            poll_fn(step).await
        };
        match outcome {
            Some(Ok(outcome) | Err(outcome)) => without_secrets(outcome, &[&secrets, &channel.secrets]),
            None => {
                tracing::error!(message = %claimed.message, "an attempt panicked");
                Outcome::Unknown { detail: "the attempt broke down; see the log".to_owned() }
            }
        }
    }

    async fn deliver(
        &self,
        definitions: &Definitions,
        channel: &ChannelConfig,
        claimed: &Claimed,
        attempt: &Attempt,
        secrets: &mut Vec<String>,
    ) -> Result<Outcome, Stopped> {
        let content = render(definitions, channel, claimed).await?;
        let keeper = channel.token.as_ref().and_then(|_| definitions.keepers.get(&channel.app));
        let Some(keeper) = keeper else {
            return self.exchange(channel, claimed, attempt, &content, "").await;
        };
        let token = keeper.get().await.map_err(without_token)?;
        secrets.push(token.value.clone());
        let outcome = self.exchange(channel, claimed, attempt, &content, &token.value).await?;
        if !matches!(outcome, Outcome::TokenRejected { .. }) {
            return Ok(outcome);
        }
        // Once more with a newer token, if there is one: a refused token does not count as an attempt.
        match keeper.newer_than(&token).await.map_err(without_token)? {
            Some(Token { value, .. }) => {
                secrets.push(value.clone());
                self.exchange(channel, claimed, attempt, &content, &value).await
            }
            None => Ok(outcome),
        }
    }

    async fn exchange(
        &self,
        channel: &ChannelConfig,
        claimed: &Claimed,
        attempt: &Attempt,
        content: &Map<String, Value>,
        token: &str,
    ) -> Result<Outcome, Stopped> {
        // Asked again, because a token and a plugin take their time: what is sent may then be over after the window.
        let may_still_try = || match may_try(attempt, &channel.policy, channel.timeout, self.clock.now()) {
            true => Ok(()),
            false => Err(Outcome::Unknown { detail: NO_MORE_TRIES.to_owned() }),
        };
        may_still_try()?;
        let dedupe_id = format!("tidings-{}-{}", self.instance, claimed.message.0);
        let credential = claimed
            .credential
            .as_ref()
            .map(|bound| Credential { source: channel.transport.source_name(&bound.source), value: &bound.value });
        let recipient = &claimed.recipient;
        let parcel = Parcel { token, credential, recipient, content, dedupe_id: &dedupe_id };
        let request = match channel.transport.begin(&parcel, channel.timeout).await {
            Ok(Begun::Request(request)) => request,
            Ok(Begun::Outcome(outcome)) => return Ok(outcome),
            Err(error) => return Err(error.before_sending()),
        };
        may_still_try()?;
        Ok(match self.http.send(request, channel.timeout).await {
            Exchange::Answered { status, retry_after, body } => channel.transport.read(status, retry_after, body).await,
            Exchange::NotSent(detail) => Outcome::Retry { after: None, detail: format!("not sent: {detail}") },
            Exchange::Lost(detail) => Outcome::Unknown { detail: format!("no whole answer: {detail}") },
        })
    }
}

async fn render(
    definitions: &Definitions,
    channel: &ChannelConfig,
    claimed: &Claimed,
) -> Result<Map<String, Value>, Stopped> {
    let template = definitions.template(claimed.template).ok_or_else(|| Outcome::TemplateBroken {
        detail: "config no longer has this template; put it back, or cancel the message".to_owned(),
    })?;
    let rejected = |reason: String| Outcome::Rejected { reason };
    let data: Value =
        serde_json::from_str(&claimed.data).map_err(|error| rejected(format!("its data is no JSON: {error}")))?;
    let content = template.body.render(&data).await.map_err(|error| match error {
        StageError::Refused(reason) => rejected(format!("render {reason}")),
        other => other.before_sending(),
    })?;
    let violations = channel.transport.check(&content).await.map_err(StageError::before_sending)?;
    match violations.first() {
        None => Ok(content),
        Some(violation) => Err(rejected(format!("`{}`: {}", violation.field, violation.problem))),
    }
}

/// A provider may echo what it was sent, and a plugin may tell what it was given: whatever they say is kept without the
/// tokens, the credential and the app's secrets.
fn without_secrets(outcome: Outcome, secrets: &[&[String]]) -> Outcome {
    outcome.map_text(|text| cut(secret::without(text, secrets.iter().copied().flatten().map(String::as_str))))
}

/// No token is no fault of the message: its channel waits, or its app stops.
fn without_token(trouble: Trouble) -> Stopped {
    match trouble {
        Trouble::Wait { wait, detail, .. } => {
            Outcome::Throttled { retry_after: Some(wait), detail: format!("no token yet: {detail}") }
        }
        Trouble::Exhausted { until, detail } => Outcome::QuotaExhausted { until: Some(until), detail },
        Trouble::Halt { reason } => Outcome::Halt { reason },
    }
}

fn facts(channel: &ChannelConfig, bound: Option<(&str, Option<Timestamp>, Timestamp)>) -> Option<CredentialFacts> {
    let (source, expires_at, taken_at) = bound?;
    let stage = channel.credentials.iter().find(|stage| stage.name.as_str() == source)?;
    Some(CredentialFacts { kind: stage.source.kind(), expires_at, taken_at })
}

fn dedupe_until(channel: &ChannelConfig, first_try_at: Timestamp) -> Option<Timestamp> {
    channel.transport.rules().dedupe_window.map(|window| first_try_at.after(window))
}
