//! The stages of a channel, each bound to an app: where the engine calls into a plugin, linked in or not there at all.
//!
//! A plugin may panic. What it does is its own fault and one message's: every call here comes back with a value.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tidings_model::{CredentialKind, Outcome, Timestamp};
use tidings_sdk::{
    App, CredentialSource, Delivery, Fetched, HttpTransport, Intake, Minted, Permit, Request, Response, SourceRules,
    TokenProvider, TransportRules, Violation,
};

/// How long a channel whose plugin is not there waits before it looks again.
const ABSENT_WAIT: Duration = Duration::from_secs(60);

/// What is taken for true of a source whose plugin is not there. Nothing of it is used before the plugin is.
pub(crate) const ABSENT_SOURCE: SourceRules = SourceRules {
    kind: CredentialKind {
        life: None,
        uses: 1,
        proves_use: false,
        counted_by_provider: false,
        ripens_in: Duration::ZERO,
        scoped: false,
    },
    mints: false,
    fits_any_transport: true,
};

/// Why a plugin gave no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StageError {
    /// It refuses what it was given: the same would be refused again.
    Refused(String),
    /// It broke down over what it was given.
    Broken(String),
    /// It is not there, and nothing can be asked of it.
    Absent(String),
}

impl StageError {
    /// The outcome of an attempt of which nothing has gone out yet.
    pub(crate) fn before_sending(self) -> Outcome {
        match self {
            StageError::Refused(reason) | StageError::Broken(reason) => Outcome::Rejected { reason },
            // No fault of the message: its channel waits.
            StageError::Absent(detail) => Outcome::Throttled { retry_after: Some(ABSENT_WAIT), detail },
        }
    }
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StageError::Refused(text) | StageError::Broken(text) | StageError::Absent(text) => f.write_str(text),
        }
    }
}

/// The transport of a channel.
#[derive(Clone)]
pub struct TransportStage {
    name: String,
    rules: TransportRules,
    app: Arc<App>,
    way: TransportWay,
}

/// Where a transport is.
#[derive(Clone)]
pub(crate) enum TransportWay {
    Linked(Arc<dyn HttpTransport>),
    Absent(Arc<str>),
}

impl TransportStage {
    pub(crate) fn new(name: String, rules: TransportRules, app: Arc<App>, way: TransportWay) -> TransportStage {
        TransportStage { name, rules, app, way }
    }

    /// Its full name: `wechat.subscribe`.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn rules(&self) -> &TransportRules {
        &self.rules
    }

    /// Why it cannot work now, if it cannot.
    pub(crate) fn trouble(&self) -> Option<String> {
        match &self.way {
            TransportWay::Linked(_) => None,
            TransportWay::Absent(reason) => Some(reason.to_string()),
        }
    }

    /// A source as the transport knows it: one of its own plugin by its own name.
    pub(crate) fn source_name<'a>(&self, source: &'a str) -> &'a str {
        let plugin = self.name.split('.').next().unwrap_or_default();
        source.strip_prefix(plugin).and_then(|rest| rest.strip_prefix('.')).unwrap_or(source)
    }

    /// What is wrong with rendered content.
    pub(crate) async fn check(&self, content: &Map<String, Value>) -> Result<Vec<Violation>, StageError> {
        match &self.way {
            TransportWay::Linked(stage) => guarded(|| stage.check(&self.app, content)),
            TransportWay::Absent(reason) => Err(StageError::Absent(reason.to_string())),
        }
    }

    /// The same, for config: outside a runtime.
    pub(crate) fn check_now(&self, content: &Map<String, Value>) -> Result<Vec<Violation>, StageError> {
        match &self.way {
            TransportWay::Linked(stage) => guarded(|| stage.check(&self.app, content)),
            TransportWay::Absent(reason) => Err(StageError::Absent(reason.to_string())),
        }
    }

    /// The request for a delivery.
    pub(crate) async fn request(&self, parcel: &Parcel<'_>) -> Result<Request, StageError> {
        match &self.way {
            TransportWay::Linked(stage) => {
                guarded(|| stage.request(&parcel.delivery(&self.app)))?.map_err(StageError::Refused)
            }
            TransportWay::Absent(reason) => Err(StageError::Absent(reason.to_string())),
        }
    }

    /// What the answer says. The provider has acted: a plugin that cannot read it leaves the message's fate open.
    pub(crate) async fn read(&self, status: u16, retry_after: Option<Duration>, body: Vec<u8>) -> Outcome {
        let read = match &self.way {
            TransportWay::Linked(stage) => {
                guarded(|| stage.read(&self.app, &Response { status, retry_after, body: &body }))
            }
            TransportWay::Absent(reason) => Err(StageError::Absent(reason.to_string())),
        };
        read.unwrap_or_else(|error| Outcome::Unknown { detail: error.to_string() })
    }
}

impl fmt::Debug for TransportStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TransportStage").field(&self.name).finish()
    }
}

/// What an attempt sends, before it is known which app's transport takes it.
#[derive(Clone, Copy)]
pub(crate) struct Parcel<'a> {
    pub(crate) token: &'a str,
    pub(crate) credential: Option<tidings_sdk::Credential<'a>>,
    pub(crate) recipient: &'a str,
    pub(crate) content: &'a Map<String, Value>,
    pub(crate) dedupe_id: &'a str,
}

impl<'a> Parcel<'a> {
    fn delivery(&self, app: &'a App) -> Delivery<'a> {
        let Parcel { token, credential, recipient, content, dedupe_id } = *self;
        Delivery { app, token, credential, recipient, content, dedupe_id }
    }
}

/// The token provider of a channel.
#[derive(Clone)]
pub struct TokenStage {
    app: Arc<App>,
    day_offset: Duration,
    fetches_per_day: Option<u32>,
    way: TokenWay,
}

/// Where a token provider is.
#[derive(Clone)]
pub(crate) enum TokenWay {
    Linked(Arc<dyn TokenProvider>),
    Absent(Arc<str>),
}

impl TokenStage {
    pub(crate) fn linked(app: Arc<App>, stage: Arc<dyn TokenProvider>) -> TokenStage {
        let (day_offset, fetches_per_day) = (stage.day_offset(), stage.fetches_per_day(&app));
        TokenStage { app, day_offset, fetches_per_day, way: TokenWay::Linked(stage) }
    }

    pub(crate) fn absent(app: Arc<App>, reason: Arc<str>) -> TokenStage {
        TokenStage { app, day_offset: Duration::ZERO, fetches_per_day: None, way: TokenWay::Absent(reason) }
    }

    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    /// How far the provider's calendar is ahead of UTC.
    pub(crate) fn day_offset(&self) -> Duration {
        self.day_offset
    }

    pub(crate) fn fetches_per_day(&self) -> Option<u32> {
        self.fetches_per_day
    }

    /// Why it cannot work now, if it cannot.
    pub(crate) fn trouble(&self) -> Option<String> {
        match &self.way {
            TokenWay::Linked(_) => None,
            TokenWay::Absent(reason) => Some(reason.to_string()),
        }
    }

    /// The request for a token, or what came of trying to make one.
    pub(crate) async fn request(&self) -> Result<Request, Fetched> {
        let made = match &self.way {
            TokenWay::Linked(stage) => {
                guarded(|| stage.request(&self.app)).and_then(|request| request.map_err(StageError::Refused))
            }
            TokenWay::Absent(reason) => Err(StageError::Absent(reason.to_string())),
        };
        made.map_err(|error| match error {
            StageError::Refused(reason) => Fetched::Halt { reason },
            StageError::Broken(detail) | StageError::Absent(detail) => Fetched::retry(detail),
        })
    }

    /// What the answer says.
    pub(crate) async fn read(&self, status: u16, retry_after: Option<Duration>, body: Vec<u8>) -> Fetched {
        let read = match &self.way {
            TokenWay::Linked(stage) => {
                guarded(|| stage.read(&self.app, &Response { status, retry_after, body: &body }))
            }
            TokenWay::Absent(reason) => Err(StageError::Absent(reason.to_string())),
        };
        read.unwrap_or_else(|error| Fetched::retry(error.to_string()))
    }
}

impl fmt::Debug for TokenStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenStage").field(&self.app.name).finish()
    }
}

/// A credential source of a channel.
#[derive(Clone)]
pub struct SourceStage {
    rules: SourceRules,
    app: Arc<App>,
    way: SourceWay,
}

/// Where a credential source is.
#[derive(Clone)]
pub(crate) enum SourceWay {
    Linked(Arc<dyn CredentialSource>),
    Absent(Arc<str>),
}

impl SourceStage {
    pub(crate) fn new(rules: SourceRules, app: Arc<App>, way: SourceWay) -> SourceStage {
        SourceStage { rules, app, way }
    }

    pub(crate) fn kind(&self) -> CredentialKind {
        self.rules.kind
    }

    pub(crate) fn rules(&self) -> &SourceRules {
        &self.rules
    }

    /// Why it cannot work now, if it cannot.
    pub(crate) fn trouble(&self) -> Option<String> {
        match &self.way {
            SourceWay::Linked(_) => None,
            SourceWay::Absent(reason) => Some(reason.to_string()),
        }
    }

    /// The permit that was posted, or why it is none.
    pub(crate) async fn admit(&self, intake: &Intake, now: Timestamp) -> Result<Permit, StageError> {
        match &self.way {
            SourceWay::Linked(stage) => guarded(|| stage.admit(&self.app, intake, now))?.map_err(StageError::Refused),
            SourceWay::Absent(reason) => Err(StageError::Absent(reason.to_string())),
        }
    }

    /// The permit that a recipient has by itself now.
    pub(crate) async fn mint(&self, recipient: &str, scope: &str, now: Timestamp) -> Result<Minted, StageError> {
        match &self.way {
            SourceWay::Linked(stage) => guarded(|| stage.mint(&self.app, recipient, scope, now)),
            SourceWay::Absent(reason) => Err(StageError::Absent(reason.to_string())),
        }
    }
}

impl fmt::Debug for SourceStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SourceStage").field(&self.app.name).finish()
    }
}

/// Calls into a plugin that is linked in; a panic there is its own, and one message's.
fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, StageError> {
    catch_unwind(AssertUnwindSafe(call))
        .map_err(|_| StageError::Broken("the plugin panicked; see the log, and tell its author".to_owned()))
}
