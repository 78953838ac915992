//! The stages of a channel, each bound to the channel's app: where the engine calls into a plugin.
//!
//! A plugin may panic. What it does is its own fault and one message's: every call here comes back.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tidings_model::{CredentialKind, Outcome, Timestamp};
use tidings_sdk::{
    App, CredentialSource, Delivery, Fetched, HttpTransport, Intake, Permit, Request, Response, TokenProvider,
    TransportRules, Violation,
};

/// The transport of a channel.
#[derive(Clone)]
pub struct TransportStage {
    name: String,
    rules: TransportRules,
    app: Arc<App>,
    stage: Arc<dyn HttpTransport>,
}

impl TransportStage {
    pub(crate) fn new(name: String, app: Arc<App>, stage: Arc<dyn HttpTransport>) -> TransportStage {
        TransportStage { name, rules: stage.rules(), app, stage }
    }

    /// Its full name: `wechat.subscribe`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The plugin it belongs to: `wechat`.
    pub(crate) fn plugin(&self) -> &str {
        self.name.split('.').next().unwrap_or_default()
    }

    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    pub(crate) fn rules(&self) -> &TransportRules {
        &self.rules
    }

    /// What is wrong with rendered content.
    pub(crate) fn check(&self, content: &Map<String, Value>) -> Result<Vec<Violation>, String> {
        guarded(|| self.stage.check(&self.app, content))
    }

    pub(crate) fn request(&self, delivery: &Delivery<'_>) -> Result<Request, String> {
        guarded(|| self.stage.request(delivery)).and_then(|request| request)
    }

    /// The provider has acted: a plugin that cannot read the answer leaves the message's fate open.
    pub(crate) fn read(&self, response: &Response<'_>) -> Outcome {
        guarded(|| self.stage.read(&self.app, response)).unwrap_or_else(|detail| Outcome::Unknown { detail })
    }
}

impl fmt::Debug for TransportStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TransportStage").field(&self.name).finish()
    }
}

/// The token provider of a channel.
#[derive(Clone)]
pub struct TokenStage {
    app: Arc<App>,
    stage: Arc<dyn TokenProvider>,
}

impl TokenStage {
    pub(crate) fn new(app: Arc<App>, stage: Arc<dyn TokenProvider>) -> TokenStage {
        TokenStage { app, stage }
    }

    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    pub(crate) fn day_offset(&self) -> Duration {
        self.stage.day_offset()
    }

    pub(crate) fn fetches_per_day(&self) -> Option<u32> {
        self.stage.fetches_per_day(&self.app)
    }

    /// The request for a token, or what came of trying to make one.
    pub(crate) fn request(&self) -> Result<Request, Fetched> {
        match guarded(|| self.stage.request(&self.app)) {
            Ok(Ok(request)) => Ok(request),
            Ok(Err(reason)) => Err(Fetched::Halt { reason }),
            Err(detail) => Err(Fetched::retry(detail)),
        }
    }

    pub(crate) fn read(&self, response: &Response<'_>) -> Fetched {
        guarded(|| self.stage.read(&self.app, response)).unwrap_or_else(Fetched::retry)
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
    kind: CredentialKind,
    app: Arc<App>,
    stage: Arc<dyn CredentialSource>,
}

impl SourceStage {
    pub(crate) fn new(app: Arc<App>, stage: Arc<dyn CredentialSource>) -> SourceStage {
        SourceStage { kind: stage.kind(), app, stage }
    }

    pub(crate) fn kind(&self) -> CredentialKind {
        self.kind
    }

    pub(crate) fn fits_any_transport(&self) -> bool {
        self.stage.fits_any_transport()
    }

    /// The permit that was posted, or why it is none.
    pub(crate) fn admit(&self, intake: &Intake, now: Timestamp) -> Result<Permit, String> {
        guarded(|| self.stage.admit(&self.app, intake, now)).and_then(|permit| permit)
    }
}

impl fmt::Debug for SourceStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SourceStage").field(&self.app.name).finish()
    }
}

/// Calls into a plugin; a panic there is its own, and one message's.
fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|_| "the plugin panicked; see the log, and tell its author".to_owned())
}
