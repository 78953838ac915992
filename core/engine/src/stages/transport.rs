//! The transport of a channel.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tidings_host::{FileHttpTransport, FileTransport, Loaded};
use tidings_model::Outcome;
use tidings_sdk::{
    App, Credential, Delivery, HttpTransport, OwnedDelivery, Request, Response, TransportRules, Violation,
};

use super::{CALL_WAIT, StageError, guarded, parked};

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
    /// Linked in; the engine does the talking.
    Linked(Arc<dyn HttpTransport>),
    /// In a file; the engine does the talking.
    Http(Arc<Loaded>, FileHttpTransport),
    /// In a file that does its own talking.
    Own(Arc<Loaded>, FileTransport),
    /// Nowhere: why.
    Absent(Arc<str>),
}

/// What comes of the beginning of an attempt.
#[derive(Debug)]
pub(crate) enum Begun {
    /// This is to be sent; [`TransportStage::read`] reads the answer.
    Request(Request),
    /// The plugin has sent it: the attempt is over.
    Outcome(Outcome),
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
            TransportWay::Http(plugin, _) | TransportWay::Own(plugin, _) => parked(plugin),
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
            TransportWay::Http(_, stage) => Ok(stage.check(content, CALL_WAIT).await?),
            TransportWay::Own(_, stage) => Ok(stage.check(content, CALL_WAIT).await?),
            TransportWay::Absent(reason) => Err(StageError::Absent(reason.to_string())),
        }
    }

    /// The same for config, which is read outside a runtime.
    pub(crate) fn check_now(&self, content: &Map<String, Value>) -> Result<Vec<Violation>, StageError> {
        match &self.way {
            TransportWay::Linked(stage) => guarded(|| stage.check(&self.app, content)),
            TransportWay::Http(_, stage) => Ok(stage.check_blocking(content, CALL_WAIT)?),
            TransportWay::Own(_, stage) => Ok(stage.check_blocking(content, CALL_WAIT)?),
            TransportWay::Absent(reason) => Err(StageError::Absent(reason.to_string())),
        }
    }

    /// Begins an attempt that takes at most `timeout`.
    pub(crate) async fn begin(&self, parcel: &Parcel<'_>, timeout: Duration) -> Result<Begun, StageError> {
        match &self.way {
            TransportWay::Linked(stage) => {
                let request = guarded(|| stage.request(&parcel.delivery(&self.app)))?;
                request.map(Begun::Request).map_err(StageError::Refused)
            }
            TransportWay::Http(_, stage) => {
                Ok(Begun::Request(stage.request(parcel.owned(timeout.min(CALL_WAIT))).await?))
            }
            TransportWay::Own(_, stage) => Ok(Begun::Outcome(stage.deliver(parcel.owned(timeout)).await)),
            TransportWay::Absent(reason) => Err(StageError::Absent(reason.to_string())),
        }
    }

    /// What the answer says. The provider has acted: a plugin that cannot read it leaves the message's fate open.
    pub(crate) async fn read(&self, status: u16, retry_after: Option<Duration>, body: Vec<u8>) -> Outcome {
        let read = match &self.way {
            TransportWay::Linked(stage) => {
                guarded(|| stage.read(&self.app, &Response { status, retry_after, body: &body }))
            }
            TransportWay::Http(_, stage) => {
                stage.read(status, retry_after, body, CALL_WAIT).await.map_err(StageError::from)
            }
            TransportWay::Own(..) => Err(StageError::Broken(format!("`{}` has sent it by itself", self.name))),
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

/// What an attempt sends.
#[derive(Clone, Copy)]
pub(crate) struct Parcel<'a> {
    pub(crate) token: &'a str,
    pub(crate) credential: Option<Credential<'a>>,
    pub(crate) recipient: &'a str,
    pub(crate) content: &'a Map<String, Value>,
    pub(crate) dedupe_id: &'a str,
}

impl<'a> Parcel<'a> {
    fn delivery(&self, app: &'a App) -> Delivery<'a> {
        let Parcel { token, credential, recipient, content, dedupe_id } = *self;
        Delivery { app, token, credential, recipient, content, dedupe_id }
    }

    /// A copy that may outlive the attempt: a plugin in a file works on its own thread.
    fn owned(&self, timeout: Duration) -> OwnedDelivery {
        OwnedDelivery {
            token: self.token.to_owned(),
            credential: self.credential.map(|bound| (bound.source.to_owned(), bound.value.to_owned())),
            recipient: self.recipient.to_owned(),
            content: self.content.clone(),
            dedupe_id: self.dedupe_id.to_owned(),
            timeout,
        }
    }
}
