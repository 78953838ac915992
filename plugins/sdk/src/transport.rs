//! The last stage: one message on its way, and what came of it.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};
use tidings_model::Outcome;

use crate::http::{Request, Response};
use crate::settings::{App, Setting};

/// What is true of every message of a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransportRules {
    /// The keys a template of this transport may have.
    pub template_settings: &'static [Setting],
    /// The key that says what the provider calls the template: the scope a credential must fit.
    pub scope_key: Option<&'static str>,
    /// Which credential sources of the same plugin this transport can send with. Empty for none needed.
    pub credentials: &'static [&'static str],
    /// How long the provider drops a second copy with the same [`Delivery::dedupe_id`].
    pub dedupe_window: Option<Duration>,
}

/// A transport whose provider speaks HTTP: two pure functions, and what is known beforehand. The engine does the
/// talking.
pub trait HttpTransport: Send + Sync {
    /// What is true of every message.
    fn rules(&self) -> TransportRules;

    /// What is wrong with rendered content, before it is sent: the provider's own rules.
    fn check(&self, app: &App, content: &Map<String, Value>) -> Vec<Violation> {
        let _ = (app, content);
        Vec::new()
    }

    /// The request for a delivery, or why there can be none.
    fn request(&self, delivery: &Delivery<'_>) -> Result<Request, String>;

    /// What the answer says.
    fn read(&self, app: &App, response: &Response<'_>) -> Outcome;
}

/// A transport that does its own talking, on threads of its own.
pub trait Transport: Send + Sync {
    /// What is true of every message.
    fn rules(&self) -> TransportRules;

    /// What is wrong with rendered content, before it is sent: the provider's own rules.
    fn check(&self, app: &App, content: &Map<String, Value>) -> Vec<Violation> {
        let _ = (app, content);
        Vec::new()
    }

    /// Makes what carries the messages of an app. Cheap, and without a network: it is made for a check of the config,
    /// too.
    fn open(&self, app: &App) -> Result<Box<dyn Carrier>, Vec<Violation>>;
}

/// Carries the messages of one app. Dropped when the app ends: what it holds is answered by then, and no thread of its
/// own is left.
pub trait Carrier: Send {
    /// Takes a message without blocking. It is answered later, from any thread.
    ///
    /// # Errors
    ///
    /// It takes no more now, and gives it back: it is offered again after another was answered.
    fn submit(&mut self, pending: Pending) -> Result<(), Box<Pending>>;

    /// Nobody waits for these any more, by [`Pending::id`].
    fn cancel(&mut self, ids: &[u64]) {
        let _ = ids;
    }
}

/// A message that waits for its answer. Dropped without one, it is answered with [`Outcome::Unknown`].
pub struct Pending {
    /// Everything that is said.
    pub delivery: OwnedDelivery,
    id: u64,
    answer: Option<Answer>,
}

/// Hands an outcome over.
pub type Answer = Box<dyn FnOnce(Outcome) + Send>;

impl Pending {
    /// A delivery, and whom to tell what came of it.
    pub fn new(id: u64, delivery: OwnedDelivery, answer: Answer) -> Pending {
        Pending { delivery, id, answer: Some(answer) }
    }

    /// The number that [`Carrier::cancel`] knows it by.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Says what came of it.
    pub fn answer(mut self, outcome: Outcome) {
        if let Some(answer) = self.answer.take() {
            answer(outcome);
        }
    }

    /// Takes it back unanswered: whoever offered it still has it.
    pub fn defuse(mut self) {
        self.answer = None;
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            answer(Outcome::Unknown { detail: "the plugin dropped it without an answer".to_owned() });
        }
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A value that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which: `data.thing1`, or a setting's name; empty for the whole.
    pub field: String,
    /// The rule and what was found, without the value itself.
    pub problem: String,
}

impl Violation {
    /// What is wrong with `field`.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Violation {
        Violation { field: field.into(), problem: problem.into() }
    }
}

/// One message on its way, with all that its request needs.
#[derive(Clone, Copy)]
pub struct Delivery<'a> {
    /// The app it goes through.
    pub app: &'a App,
    /// The app's token; empty if the channel has no token stage.
    pub token: &'a str,
    /// The credential bound to it.
    pub credential: Option<Credential<'a>>,
    /// Who is told.
    pub recipient: &'a str,
    /// The template, rendered.
    pub content: &'a Map<String, Value>,
    /// The same for every try of this message, and for no other message.
    pub dedupe_id: &'a str,
}

impl fmt::Debug for Delivery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("app", &self.app.name).finish_non_exhaustive()
    }
}

/// A credential on its way with its message.
#[derive(Clone, Copy)]
pub struct Credential<'a> {
    /// The source's name inside the plugin: `form_id`; with its plugin's name if that is another one: `quota.sends`.
    pub source: &'a str,
    /// What the provider wants to see.
    pub value: &'a str,
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("source", &self.source).finish_non_exhaustive()
    }
}

/// A message on its way that is kept for a while. Its app is the carrier's.
#[derive(Clone, Default)]
pub struct OwnedDelivery {
    /// The app's token; empty if the channel has no token stage.
    pub token: String,
    /// The source and the value of the credential bound to it.
    pub credential: Option<(String, String)>,
    /// Who is told.
    pub recipient: String,
    /// The template, rendered.
    pub content: Map<String, Value>,
    /// The same for every try of this message, and for no other message.
    pub dedupe_id: String,
    /// After so long nobody waits for the answer any more.
    pub timeout: Duration,
}

impl OwnedDelivery {
    /// The text under a key of the content; empty if there is none.
    pub fn text(&self, key: &str) -> &str {
        self.content.get(key).and_then(Value::as_str).unwrap_or_default()
    }
}

impl fmt::Debug for OwnedDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedDelivery").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn pending() -> (Pending, mpsc::Receiver<Outcome>) {
        let delivery = OwnedDelivery {
            token: "CANARY".into(),
            credential: None,
            recipient: "ann".into(),
            content: Map::new(),
            dedupe_id: "1".into(),
            timeout: Duration::from_secs(1),
        };
        let (sender, receiver) = mpsc::channel();
        (Pending::new(7, delivery, Box::new(move |outcome| drop(sender.send(outcome)))), receiver)
    }

    #[test]
    fn an_answer_is_given_once() {
        let (pending, answers) = pending();
        pending.answer(Outcome::Accepted { provider_id: None });
        assert_eq!(answers.iter().collect::<Vec<_>>(), [Outcome::Accepted { provider_id: None }]);
    }

    #[test]
    fn what_is_dropped_unanswered_may_have_arrived() {
        let (pending, answers) = pending();
        drop(pending);
        assert_eq!(answers.iter().map(|outcome| outcome.name()).collect::<Vec<_>>(), ["unknown"]);
    }

    #[test]
    fn what_is_given_back_is_not_answered() {
        let (pending, answers) = pending();
        pending.defuse();
        assert_eq!(answers.iter().count(), 0);
    }

    #[test]
    fn a_delivery_hides_what_it_carries() {
        let (pending, _answers) = pending();
        assert!(!format!("{pending:?} {:?}", pending.delivery).contains("CANARY"));
    }
}
