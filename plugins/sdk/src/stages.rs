//! The stages a plugin may offer. Each is a pair of pure functions or a rule; none has state of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};
use tidings_model::{CredentialKind, Outcome, Timestamp};

use crate::http::{Request, Response};
use crate::settings::{App, Setting};

/// Everything a plugin offers. Stages are named inside the plugin: `form_id` of plugin `wechat` is `wechat.form_id`
/// in config.
pub struct Plugin {
    /// The plugin's name: the first half of every stage name.
    pub name: &'static str,
    /// What an app of this plugin is configured with.
    pub app_settings: &'static [Setting],
    /// Token providers by name.
    pub token_providers: Vec<(&'static str, Box<dyn TokenProvider>)>,
    /// Credential sources by name.
    pub credential_sources: Vec<(&'static str, Box<dyn CredentialSource>)>,
    /// Transports by name.
    pub transports: Vec<(&'static str, Box<dyn HttpTransport>)>,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Fetches what authorises an app at its provider.
pub trait TokenProvider: Send + Sync {
    /// The request for a token.
    fn request(&self, app: &App) -> Request;

    /// What the answer says.
    fn read(&self, response: &Response<'_>) -> Fetched;

    /// How far the provider's calendar is ahead of UTC: at its midnight the day's quota of fetches is new.
    fn day_offset(&self) -> Duration {
        Duration::ZERO
    }

    /// How many fetches a day the provider allows, where it says so.
    fn fetches_per_day(&self, app: &App) -> Option<u32> {
        let _ = app;
        None
    }
}

/// What a token provider read.
#[derive(Clone, PartialEq, Eq)]
pub enum Fetched {
    /// A token.
    Token {
        /// The token itself.
        value: String,
        /// How long it lives from now.
        life: Duration,
    },
    /// Not now; another try is worth it.
    Retry {
        /// The answer, for people.
        detail: String,
    },
    /// No more fetches today.
    QuotaExhausted {
        /// The answer, for people.
        detail: String,
    },
    /// The app must stop until an operator acts.
    Halt {
        /// Why, for people.
        reason: String,
    },
}

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fetched::Token { life, .. } => write!(f, "Token(…, {life:?})"),
            Fetched::Retry { detail } => write!(f, "Retry({detail})"),
            Fetched::QuotaExhausted { detail } => write!(f, "QuotaExhausted({detail})"),
            Fetched::Halt { reason } => write!(f, "Halt({reason})"),
        }
    }
}

/// Says what a permit of one kind is, and which posted ones are fit for the ledger.
pub trait CredentialSource: Send + Sync {
    /// The rules of this kind.
    fn kind(&self) -> CredentialKind;

    /// Takes what was posted, or says in a sentence why not.
    fn admit(&self, intake: &Intake) -> Result<Permit, String>;
}

/// A posted credential: the fields of a form, or the members of a JSON object as text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Intake {
    fields: BTreeMap<String, String>,
}

impl Intake {
    /// Takes the posted fields.
    pub fn new(fields: impl IntoIterator<Item = (String, String)>) -> Intake {
        Intake { fields: fields.into_iter().collect() }
    }

    /// The first of these fields that was posted, as it was posted.
    pub fn any(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.fields.get(*name)).map(String::as_str)
    }

    /// A posted field that is none of these: a misspelt name is an error, not a silence.
    pub fn unknown(&self, names: &[&str]) -> Option<&str> {
        self.fields.keys().map(String::as_str).find(|name| !names.contains(name))
    }
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.fields.keys()).finish()
    }
}

/// A credential fit for the ledger.
#[derive(Clone, PartialEq, Eq)]
pub struct Permit {
    /// Whose.
    pub recipient: String,
    /// The provider's template it is for; `None` for any.
    pub scope: Option<String>,
    /// What is sent to the provider; empty where the provider only counts.
    pub value: String,
    /// What makes it the same as one posted before: the value itself, or the provider's id of the grant. `None` where
    /// nothing does.
    pub identity: Option<String>,
    /// When it was made, where the poster says so; the time of intake otherwise.
    pub made_at: Option<Timestamp>,
    /// How many messages it carries; the kind's number where this is `None`.
    pub uses: Option<u32>,
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// A transport whose provider speaks HTTP: two pure functions, and what they need to know beforehand.
pub trait HttpTransport: Send + Sync {
    /// The keys a template of this transport may have.
    fn template_settings(&self) -> &'static [Setting];

    /// What the provider calls the template: the scope a credential must fit.
    fn scope<'a>(&self, template: &'a Map<String, Value>) -> Option<&'a str> {
        let _ = template;
        None
    }

    /// Which credential sources of the same plugin this transport can send with. Empty for none needed.
    fn credentials(&self) -> &'static [&'static str] {
        &[]
    }

    /// What is wrong with rendered content, before it is sent: the provider's own rules.
    fn check(&self, content: &Map<String, Value>) -> Vec<Violation> {
        let _ = content;
        Vec::new()
    }

    /// How long the provider drops a second copy with the same [`Delivery::dedupe_id`].
    fn dedupe_window(&self) -> Option<Duration> {
        None
    }

    /// The request for a delivery, or why there can be none.
    fn request(&self, delivery: &Delivery<'_>) -> Result<Request, String>;

    /// What the answer says.
    fn read(&self, response: &Response<'_>) -> Outcome;
}

/// A value that breaks a rule of the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which: `data.thing1`.
    pub field: String,
    /// The rule and what was found, without the value itself.
    pub problem: String,
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
    /// The source's name inside the plugin: `form_id`.
    pub source: &'a str,
    /// What the provider wants to see.
    pub value: &'a str,
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("source", &self.source).finish_non_exhaustive()
    }
}
