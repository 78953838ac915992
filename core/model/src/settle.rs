//! What follows from an outcome: the message's next state, its credential's fate, what its channel does.
//!
//! [`settle`] is the whole policy of the engine in one pure function; the pipeline calls it and the store writes
//! what it says. The table of promises it keeps is the design's: a form_id is retried with itself, because "used"
//! then means that the first try arrived; a dedupe id is retried inside its window; for the rest no proof is
//! possible, and the channel's `on_unknown` chooses.

use std::time::Duration;

use crate::credential::CredentialFacts;
use crate::limits::{QUOTA_WAIT_MAX, RESCUES_MAX, RETRY_AFTER_MAX, TEMPLATE_TRIES_MAX, THROTTLE_DEFAULT, THROTTLE_MAX};
use crate::outcome::Outcome;
use crate::retry::{Backoff, Random, delay};
use crate::state::{Event, State, next};
use crate::time::Timestamp;

/// Between attempts with tokens that the provider refuses one after the other.
const TOKEN_BACKOFF: Backoff = Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(300) };

/// What a channel does when nobody can say whether a message arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUnknown {
    /// Leave it `unknown`: at most once.
    #[default]
    Stop,
    /// Send it again: at least once.
    Retry,
}

/// How a channel treats its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Attempts that count, before a message has failed.
    pub attempts_max: u32,
    /// The delay between them.
    pub backoff: Backoff,
    /// After an ambiguous failure that nothing can clear up.
    pub on_unknown: OnUnknown,
}

/// What is known of the attempt that is being settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Attempts that counted, this one included.
    pub number: u32,
    /// How often a crash of the engine left the message in the middle of an attempt.
    pub rescues: u32,
    /// An earlier attempt may have arrived.
    pub ambiguous: bool,
    /// The credential that was bound, if the channel needs one.
    pub credential: Option<CredentialFacts>,
    /// Until when the provider itself drops a second copy of this message.
    pub dedupe_until: Option<Timestamp>,
    /// When the message's time runs out.
    pub expires_at: Option<Timestamp>,
}

/// What becomes of the credential that was bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialFate {
    /// It stays bound to this message, for a try that can tell whether the last one arrived.
    Keep,
    /// It was not used: back to the ledger.
    GiveBack,
    /// One use is gone.
    Spend,
    /// It is worth nothing.
    Drop,
    /// The provider says that this recipient has none of this kind left: neither this nor its sisters are worth anything.
    DropAll,
}

/// What the channel, or its whole app, does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaneEffect {
    /// The channel claims nothing until then: the provider asked for it.
    Cool {
        /// When it goes on.
        until: Timestamp,
        /// The answer, for people.
        reason: String,
    },
    /// The channel's quota is used up until then.
    Exhausted {
        /// When it goes on; the provider's next day where the plugin does not say.
        until: Option<Timestamp>,
        /// The answer, for people.
        reason: String,
    },
    /// Every channel of the app stops until an operator acts.
    Halt {
        /// Why, for people.
        reason: String,
    },
}

/// What to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The message's next state.
    pub to: State,
    /// When it is due again, if it is `scheduled`.
    pub due_at: Option<Timestamp>,
    /// Whether the attempt counts against the channel's limit.
    pub counts: bool,
    /// Whether a try may have arrived, from now on.
    pub ambiguous: bool,
    /// What becomes of the credential.
    pub credential: CredentialFate,
    /// What the channel does.
    pub lane: Option<LaneEffect>,
    /// Why, in a word: stable, for filters and groups. `None` after a plain success.
    pub reason: Option<&'static str>,
    /// Why, for people.
    pub detail: String,
    /// What the provider calls the message.
    pub provider_id: Option<String>,
}

/// Decides what follows from `outcome`.
pub fn settle(outcome: &Outcome, attempt: &Attempt, policy: &Policy, now: Timestamp, random: Random) -> Settlement {
    let decision = Decision { attempt, policy, now, random, detail: outcome.detail() };
    let settlement = match outcome {
        Outcome::Accepted { provider_id } => decision.arrived(None, provider_id.clone()),
        Outcome::Duplicate { .. } if attempt.ambiguous => decision.arrived(Some("duplicate"), None),
        Outcome::Duplicate { .. } => decision.lost("duplicate"),
        Outcome::Rejected { .. } => decision.failed("rejected"),
        Outcome::RecipientGone { .. } => decision.failed("recipient_gone"),
        Outcome::CredentialSpent { .. } => decision.credential_spent(),
        Outcome::CredentialInvalid { .. } => decision.credential_invalid(),
        Outcome::TokenRejected { .. } => decision.token_rejected(),
        Outcome::Throttled { retry_after, .. } => decision.stay(
            "throttled",
            LaneEffect::Cool {
                until: now.after(retry_after.unwrap_or(THROTTLE_DEFAULT).min(THROTTLE_MAX)),
                reason: outcome.detail().to_owned(),
            },
        ),
        Outcome::QuotaExhausted { until, .. } => decision.stay(
            "quota_exhausted",
            LaneEffect::Exhausted {
                until: until.map(|until| until.min(now.after(QUOTA_WAIT_MAX))),
                reason: outcome.detail().to_owned(),
            },
        ),
        Outcome::Halt { reason } => decision.stay("halted", LaneEffect::Halt { reason: reason.clone() }),
        Outcome::Retry { after, .. } => decision.again("retry", *after, attempt.ambiguous),
        Outcome::TemplateBroken { .. } if attempt.number < TEMPLATE_TRIES_MAX => {
            decision.again("template_broken", None, attempt.ambiguous)
        }
        Outcome::TemplateBroken { .. } => decision.held("template_broken"),
        Outcome::Unknown { .. } => decision.unknown(),
    };
    debug_assert!(
        Event::ALL.into_iter().any(|on| next(State::Sending, on) == Ok(settlement.to)),
        "no move leads from sending to {}",
        settlement.to
    );
    settlement
}

/// Whether an attempt that takes at most `timeout` may be made now. After an ambiguous one only what can tell a second
/// copy, or is dropped as one, may go out again: the window of a dedupe id may have ended while the message waited for
/// its channel, and when the retry was planned nobody could know.
pub fn may_try(attempt: &Attempt, policy: &Policy, timeout: Duration, now: Timestamp) -> bool {
    let proves_use = attempt.credential.is_some_and(|facts| facts.kind.proves_use);
    let inside_window = attempt.dedupe_until.is_some_and(|until| now.after(timeout) < until);
    !attempt.ambiguous || proves_use || inside_window || policy.on_unknown == OnUnknown::Retry
}

/// Decides what becomes of a message that a crash left in the middle of an attempt.
///
/// A crash is an ambiguous failure like any other: the request may have gone out. It does not count as an attempt,
/// but a message that was there at three crashes may be what crashes the engine, and is held.
pub fn rescue(attempt: &Attempt, policy: &Policy, now: Timestamp, random: Random) -> Settlement {
    let detail = "the engine stopped in the middle of the attempt";
    // Whatever was known before: this attempt may have arrived.
    let attempt = &Attempt { ambiguous: true, ..*attempt };
    let decision = Decision { attempt, policy, now, random, detail };
    if attempt.rescues >= RESCUES_MAX {
        return decision.held("crash_loop");
    }
    let settlement = decision.unknown();
    let due_at = settlement.due_at.map(|_| now);
    Settlement { due_at, counts: false, ..settlement }
}

/// Decides what becomes of a message that a crash left in the middle of an attempt while nobody can say by which rules it
/// was sent: the plugin that knows them is not there. It waits as it is, with its credential, until somebody can.
pub fn rescue_later(attempt: &Attempt, policy: &Policy, now: Timestamp, random: Random) -> Settlement {
    let attempt = &Attempt { ambiguous: true, ..*attempt };
    let detail = "the engine stopped in the middle of the attempt, and its plugin is not there";
    let decision = Decision { attempt, policy, now, random, detail };
    Settlement { counts: false, ..decision.write(State::Queued, Some("unknown"), CredentialFate::Keep) }
}

struct Decision<'a> {
    attempt: &'a Attempt,
    policy: &'a Policy,
    now: Timestamp,
    random: Random,
    detail: &'a str,
}

impl Decision<'_> {
    fn write(&self, to: State, reason: Option<&'static str>, credential: CredentialFate) -> Settlement {
        Settlement {
            to,
            due_at: None,
            counts: true,
            ambiguous: self.attempt.ambiguous,
            credential,
            lane: None,
            reason,
            detail: self.detail.to_owned(),
            provider_id: None,
        }
    }

    /// A credential that may have been used by an earlier try is never given to another message.
    fn unused(&self) -> CredentialFate {
        if self.attempt.ambiguous { CredentialFate::Spend } else { CredentialFate::GiveBack }
    }

    fn arrived(&self, reason: Option<&'static str>, provider_id: Option<String>) -> Settlement {
        Settlement { provider_id, ambiguous: false, ..self.write(State::Sent, reason, CredentialFate::Spend) }
    }

    fn failed(&self, reason: &'static str) -> Settlement {
        self.write(State::Failed, Some(reason), self.unused())
    }

    fn lost(&self, reason: &'static str) -> Settlement {
        Settlement { ambiguous: true, ..self.write(State::Unknown, Some(reason), CredentialFate::Spend) }
    }

    fn held(&self, reason: &'static str) -> Settlement {
        let credential = if self.attempt.ambiguous { CredentialFate::Keep } else { CredentialFate::GiveBack };
        self.write(State::Held, Some(reason), credential)
    }

    /// Unsent through no fault of the message: it stays due, and the lane says when there is a point in trying.
    fn stay(&self, reason: &'static str, lane: LaneEffect) -> Settlement {
        let credential = if self.attempt.ambiguous { CredentialFate::Keep } else { CredentialFate::GiveBack };
        Settlement { counts: false, lane: Some(lane), ..self.write(State::Queued, Some(reason), credential) }
    }

    /// Another attempt later, unless the attempts or the message's time are used up.
    fn again(&self, reason: &'static str, not_before: Option<Duration>, ambiguous: bool) -> Settlement {
        let wait = delay(self.policy.backoff, self.attempt.number, self.random)
            .max(not_before.unwrap_or_default().min(RETRY_AFTER_MAX));
        let due_at = self.now.after(wait);
        let keep = if ambiguous { CredentialFate::Keep } else { CredentialFate::GiveBack };
        if self.attempt.number >= self.policy.attempts_max {
            return if ambiguous { self.lost("attempts_exhausted") } else { self.failed("attempts_exhausted") };
        }
        if self.attempt.expires_at.is_some_and(|end| due_at >= end) {
            return if ambiguous {
                self.lost("expired")
            } else {
                self.write(State::Expired, Some("expired"), CredentialFate::GiveBack)
            };
        }
        Settlement { due_at: Some(due_at), ambiguous, ..self.write(State::Scheduled, Some(reason), keep) }
    }

    fn credential_spent(&self) -> Settlement {
        match self.attempt.credential {
            None => self.failed("credential_spent"),
            Some(facts) if self.attempt.ambiguous && facts.kind.proves_use => {
                self.arrived(Some("arrived_before"), None)
            }
            // The last of several uses may have been this message's, or another's.
            Some(_) if self.attempt.ambiguous => self.lost("credential_spent"),
            Some(_) => self.another_credential(CredentialFate::Drop, "credential_spent"),
        }
    }

    fn credential_invalid(&self) -> Settlement {
        let Some(facts) = self.attempt.credential else { return self.failed("credential_invalid") };
        if !self.attempt.ambiguous && self.now < facts.taken_at.after(facts.kind.ripens_in) {
            return self.again("credential_young", Some(facts.kind.ripens_in / 6), false);
        }
        let fate = if facts.kind.counted_by_provider { CredentialFate::DropAll } else { CredentialFate::Drop };
        // "Invalid" clears up an ambiguous try only where the provider says "used" in another word, and only while
        // the credential has not simply grown too old for either word.
        let told_apart = facts.kind.proves_use && facts.expires_at.is_none_or(|expires_at| self.now < expires_at);
        if self.attempt.ambiguous && !told_apart {
            return Settlement { credential: fate, ..self.lost("credential_invalid") };
        }
        self.another_credential(fate, "credential_invalid")
    }

    /// The message goes on with another credential. It costs a credential and no attempt, so the ledger is the bound.
    fn another_credential(&self, fate: CredentialFate, reason: &'static str) -> Settlement {
        Settlement { counts: false, ambiguous: false, ..self.write(State::Queued, Some(reason), fate) }
    }

    /// The pipeline has already tried once more with a newer token: something is wrong with the app.
    fn token_rejected(&self) -> Settlement {
        if self.attempt.number >= self.policy.attempts_max {
            let reason = format!("the provider refuses every token: {}", self.detail);
            return self.stay("halted", LaneEffect::Halt { reason });
        }
        // The channel waits too: every other message would only meet the same refusal, and fetch a token for it.
        let wait = delay(TOKEN_BACKOFF, self.attempt.number, self.random);
        let lane = LaneEffect::Cool { until: self.now.after(wait), reason: self.detail.to_owned() };
        Settlement { lane: Some(lane), ..self.again("token_rejected", Some(wait), self.attempt.ambiguous) }
    }

    fn unknown(&self) -> Settlement {
        let proof = self.attempt.credential.is_some_and(|facts| facts.kind.proves_use);
        let again = self.again("unknown", None, true);
        let inside_window = match (again.due_at, self.attempt.dedupe_until) {
            (Some(due_at), Some(until)) => due_at < until,
            _ => false,
        };
        if proof || inside_window || self.policy.on_unknown == OnUnknown::Retry { again } else { self.lost("unknown") }
    }
}

#[cfg(test)]
mod tests;
