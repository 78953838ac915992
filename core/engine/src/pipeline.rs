//! One attempt: token, render, request, HTTP, read. The stages decide; the effects are here, in their order.

use std::borrow::Cow;
use std::future::{Future as _, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use serde_json::{Map, Value};
use tidings_model::secret;
use tidings_model::settle::{may_try, rescue, rescue_later, settle};
use tidings_model::trace::{SpanId, TraceContext, TraceId};
use tidings_model::{Attempt, Clock, CredentialFacts, Outcome, Timestamp};
use tidings_model::{CredentialFate, LaneEffect, Settlement, State, mask};
use tidings_sdk::Credential;
use tidings_store::{Claimed, Lease, Orphan, Settle};

use crate::agreement::Offset;
use crate::clock::random;
use crate::config::ChannelConfig;
use crate::definitions::{Definitions, Present, present};
use crate::events::{Whose, cut, named};
use crate::http::{Exchange, Http};
use crate::stages::{Begun, Parcel, StageError};
use crate::telemetry::{Attribute, Span, SpanKind, Telemetry};
use crate::token::{Token, Trouble};
use crate::writer::{Finished, WriterHandle};

/// Everything an attempt needs. One for the engine's life.
pub(crate) struct Pipeline {
    pub(crate) present: Present,
    pub(crate) http: Http,
    pub(crate) writer: WriterHandle,
    pub(crate) telemetry: Telemetry,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whether what was claimed is still this engine's to send.
    pub(crate) lease: Lease,
    /// What tells this store's messages from another's in a provider's dedupe window.
    pub(crate) instance: String,
}

/// Of a message that may have arrived, and that nothing proves.
const NO_MORE_TRIES: &str = "cannot be tried again without the risk of a second copy";

/// Of a message that another engine may be sending by now.
const LEASE_IS_OVER: &str = "not sent: this engine could not renew its lease";

/// Of a message whose window another engine may see otherwise.
const CLOCK_IS_OFF: &str = "not sent: this engine's clock differs from the database's";

/// A refusal on the way that is an outcome of its own.
type Stopped = Outcome;

impl Pipeline {
    /// Makes the attempt by the definitions under which it was claimed, whatever config says since, and hands its outcome to
    /// the writer. Never panics, and always hands one over.
    pub(crate) async fn attempt(self: Arc<Self>, definitions: Arc<Definitions>, claimed: Claimed) {
        let started_at = self.clock.now();
        let Some(channel) = definitions.channel(claimed.channel) else {
            tracing::error!(id = %claimed.message, "claimed from a channel that config does not have");
            let settle = not_begun(&claimed, started_at);
            let whose = Whose { template: claimed.template, recipient: claimed.recipient, trace: None };
            self.writer.settle(Finished { whose, settle }).await;
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
        let mut settlement = settle(&outcome, &attempt, &channel.policy, ended_at, random());
        // What becomes the channel's reason is told to everybody: to the log, and of other messages too.
        if let Some(effect) = &mut settlement.lane {
            mask_recipient(effect, &claimed.recipient);
        }
        self.tell(
            &definitions,
            &claimed,
            &Ended { settlement: &settlement, outcome: outcome.name(), attempt: attempt.number, started_at, ended_at },
        );
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
        let trace = named(claimed.trace.as_deref());
        let whose = Whose { template: claimed.template, recipient: claimed.recipient, trace };
        self.writer.settle(Finished { whose, settle }).await;
    }

    fn is_clock_off(&self) -> bool {
        Offset::of(&self.lease, self.clock.now()).is_some_and(Offset::is_off)
    }

    /// Tells the log and the collector how an attempt ended.
    fn tell(&self, definitions: &Definitions, claimed: &Claimed, ended: &Ended<'_>) {
        if !self.telemetry.is_on() && !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let Ended { settlement, outcome, attempt, .. } = ended;
        let named = claimed.trace.as_deref().and_then(TraceContext::read);
        let own = || TraceId::of_message(&self.instance, claimed.message);
        let trace = named.map_or_else(own, |context| context.trace);
        tracing::debug!(
            id = %claimed.message,
            trace_id = %trace,
            attempt,
            outcome,
            to = %settlement.to,
            reason = settlement.reason,
            "attempt ended"
        );
        if named.is_none_or(|context| context.sampled) {
            self.telemetry.span(|| self.span(definitions, claimed, trace, ended));
        }
    }

    /// The attempt for a collector, under the intake of its message.
    fn span(&self, definitions: &Definitions, claimed: &Claimed, trace: TraceId, ended: &Ended<'_>) -> Span {
        let Ended { settlement, outcome, attempt, started_at, ended_at } = *ended;
        let arrived = matches!(settlement.to, State::Sent | State::Delivered);
        let channel = definitions.channels.get(&claimed.channel).map_or("", |(name, _)| name.as_str());
        let template = definitions.template_name(claimed.template).map_or("", |name| name.as_str());
        Span {
            trace,
            id: SpanId::of_attempt(&self.instance, claimed.message, claimed.generation),
            parent: Some(SpanId::of_intake(&self.instance, claimed.message)),
            name: "attempt",
            kind: SpanKind::Client,
            started_at,
            ended_at,
            attributes: vec![
                ("tidings.message", claimed.message.to_string().as_str().into()),
                ("tidings.channel", channel.into()),
                ("tidings.template", template.into()),
                ("tidings.attempt", Attribute::Number(attempt.into())),
                ("tidings.outcome", outcome.into()),
                ("tidings.state", settlement.to.as_str().into()),
            ],
            error: (!arrived).then_some(settlement.reason.unwrap_or(outcome)),
        }
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
                tracing::error!(id = %claimed.message, "an attempt panicked");
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
        // Asked again, because a token and a plugin take their time: what is sent may then be over after the window, or be
        // another engine's by now.
        let may_still_try = || match may_try(attempt, &channel.policy, channel.timeout, self.clock.now()) {
            _ if self.is_clock_off() => Err(Outcome::Retry { after: None, detail: CLOCK_IS_OFF.to_owned() }),
            _ if !self.lease.is_trusted() => Err(Outcome::Retry { after: None, detail: LEASE_IS_OVER.to_owned() }),
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

/// Of a message that nothing was done with: it is queued as it was, with what it had kept.
fn not_begun(claimed: &Claimed, at: Timestamp) -> Settle {
    Settle {
        message: claimed.message,
        generation: claimed.generation,
        channel: claimed.channel,
        started_at: at,
        ended_at: at,
        outcome: "retry",
        settlement: Settlement {
            to: State::Queued,
            due_at: None,
            counts: false,
            ambiguous: claimed.ambiguous,
            credential: if claimed.ambiguous { CredentialFate::Keep } else { CredentialFate::GiveBack },
            lane: None,
            reason: None,
            detail: "not sent: config has no such channel".to_owned(),
            provider_id: None,
        },
        rescued: false,
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

/// How an attempt ended.
#[derive(Clone, Copy)]
struct Ended<'a> {
    settlement: &'a Settlement,
    outcome: &'static str,
    /// Which attempt it was, from 1.
    attempt: u32,
    started_at: Timestamp,
    ended_at: Timestamp,
}

fn mask_recipient(effect: &mut LaneEffect, recipient: &str) {
    let (LaneEffect::Cool { reason, .. } | LaneEffect::Exhausted { reason, .. } | LaneEffect::Halt { reason }) = effect;
    if let Cow::Owned(masked) = mask::without(reason, recipient) {
        *reason = masked;
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

#[cfg(test)]
mod tests {
    use tidings_model::state::next;
    use tidings_model::{Event, MessageId};
    use tidings_store::{ChannelId, TemplateId};

    use super::*;

    #[test]
    fn what_was_not_begun_is_queued_as_it_was() {
        for ambiguous in [false, true] {
            let claimed = Claimed {
                message: MessageId(7),
                generation: 3,
                channel: ChannelId(1),
                template: TemplateId(1),
                recipient: "ann".to_owned(),
                data: "{}".to_owned(),
                attempts: 1,
                rescues: 0,
                ambiguous,
                first_try_at: Timestamp(1),
                expires_at: None,
                created_at: Timestamp(1),
                credential: None,
                trace: None,
            };
            let settle = not_begun(&claimed, Timestamp(2));
            assert_eq!((settle.message, settle.generation), (MessageId(7), 3), "the place of this claim is free");
            let settlement = settle.settlement;
            assert_eq!(next(State::Sending, Event::Return), Ok(settlement.to));
            assert!(!settlement.counts && settlement.ambiguous == ambiguous);
            // What may have been used is never another's.
            let fate = if ambiguous { CredentialFate::Keep } else { CredentialFate::GiveBack };
            assert_eq!(settlement.credential, fate);
        }
    }
}
