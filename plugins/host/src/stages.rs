//! The stages of a plugin in a file, each for one app: what the engine holds.
//!
//! Each is cheap to clone. Each function has a bound in time, after which it is [`Trouble::Late`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tidings_abi::v1;
use tidings_sdk::{
    Fetched, Intake, Minted, Outcome, OwnedDelivery, Part, Permit, Push, Received, Request, Response, Timestamp,
    Violation,
};

use crate::calls::Parcel;
use crate::opened::Opened;
use crate::transport;
use crate::trouble::{Fault, RenderTrouble, Trouble};

/// The handle of a role: its name, its table, and what it is.
macro_rules! stage {
    ($(#[$about:meta])* $name:ident of $table:ty) => {
        $(#[$about])*
        #[derive(Clone)]
        pub struct $name(Arc<Opened<$table>>);

        impl $name {
            pub(crate) fn new(opened: Arc<Opened<$table>>) -> $name {
                $name(opened)
            }

            /// Its name inside the plugin.
            pub fn stage(&self) -> &str {
                self.0.stage
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.0.stage).finish()
            }
        }
    };
}

/// What both kinds of transport have: rules of the provider to check content by.
macro_rules! checks {
    ($name:ident) => {
        impl $name {
            /// What is wrong with rendered content, by the provider's own rules.
            ///
            /// # Errors
            ///
            /// The plugin is in trouble.
            pub async fn check(&self, content: &Map<String, Value>, wait: Duration) -> Result<Vec<Violation>, Trouble> {
                if self.0.table.check.is_none() {
                    return Ok(Vec::new());
                }
                let content = content.clone();
                Ok(self.0.call("check", wait, move |opened| opened.check(&content)).await?)
            }

            /// The same, for callers outside a runtime.
            ///
            /// # Errors
            ///
            /// The plugin is in trouble.
            pub fn check_blocking(
                &self,
                content: &Map<String, Value>,
                wait: Duration,
            ) -> Result<Vec<Violation>, Trouble> {
                if self.0.table.check.is_none() {
                    return Ok(Vec::new());
                }
                let content = content.clone();
                Ok(self.0.call_blocking("check", wait, move |opened| opened.check(&content))?)
            }
        }
    };
}

stage! {
    /// A transport whose provider speaks HTTP.
    FileHttpTransport of v1::HttpTransport
}

checks!(FileHttpTransport);

impl FileHttpTransport {
    /// The request for a delivery; its timeout is the bound.
    ///
    /// # Errors
    ///
    /// [`Trouble::Refused`] where there can be none, and why; else the plugin is in trouble.
    pub async fn request(&self, delivery: OwnedDelivery) -> Result<Request, Trouble> {
        let wait = delivery.timeout;
        let call = move |opened: &Opened<v1::HttpTransport>| opened.request(Parcel::of(&delivery), &delivery.content);
        Ok(self.0.call("request", wait, call).await?)
    }

    /// What the answer says.
    ///
    /// # Errors
    ///
    /// The plugin is in trouble: what the answer says, nobody can say.
    pub async fn read(
        &self,
        status: u16,
        retry_after: Option<Duration>,
        body: Vec<u8>,
        wait: Duration,
    ) -> Result<Outcome, Trouble> {
        let call =
            move |opened: &Opened<v1::HttpTransport>| opened.read(&Response { status, retry_after, body: &body });
        Ok(self.0.call("read", wait, call).await?)
    }
}

stage! {
    /// A transport that does its own talking.
    FileTransport of v1::Transport
}

checks!(FileTransport);

impl FileTransport {
    /// Hands a message over and says what came of it; its timeout is the bound.
    ///
    /// Always an outcome: what the plugin took and did not answer in time may have arrived
    /// ([`Outcome::Unknown`]); what it never took has certainly not, and its channel waits a
    /// little ([`Outcome::Throttled`]).
    pub async fn deliver(&self, delivery: OwnedDelivery) -> Outcome {
        transport::deliver(&self.0, delivery).await
    }
}

stage! {
    /// A token provider.
    FileTokenProvider of v1::TokenProvider
}

impl FileTokenProvider {
    /// The request for a token.
    ///
    /// # Errors
    ///
    /// [`Trouble::Refused`] where there can be none, and why; else the plugin is in trouble.
    pub async fn request(&self, wait: Duration) -> Result<Request, Trouble> {
        Ok(self.0.call("request", wait, Opened::<v1::TokenProvider>::request).await?)
    }

    /// What the answer says.
    ///
    /// # Errors
    ///
    /// The plugin is in trouble.
    pub async fn read(
        &self,
        status: u16,
        retry_after: Option<Duration>,
        body: Vec<u8>,
        wait: Duration,
    ) -> Result<Fetched, Trouble> {
        let call =
            move |opened: &Opened<v1::TokenProvider>| opened.read(&Response { status, retry_after, body: &body });
        Ok(self.0.call("read", wait, call).await?)
    }

    /// How many fetches a day the provider allows, where it says so.
    ///
    /// # Errors
    ///
    /// The plugin is in trouble.
    pub fn fetches_per_day_blocking(&self, wait: Duration) -> Result<Option<u32>, Trouble> {
        Ok(self.0.call_blocking("fetches_per_day", wait, |opened| Ok(opened.fetches_per_day()))?)
    }
}

stage! {
    /// A credential source.
    FileCredentialSource of v1::CredentialSource
}

impl FileCredentialSource {
    /// The permit that was posted.
    ///
    /// # Errors
    ///
    /// [`Trouble::Refused`] where it is none, and why; else the plugin is in trouble.
    pub async fn admit(&self, intake: &Intake, now: Timestamp, wait: Duration) -> Result<Permit, Trouble> {
        let intake = intake.clone();
        Ok(self.0.call("admit", wait, move |opened| opened.admit(&intake, now)).await?)
    }

    /// The permit that a recipient has by itself.
    ///
    /// # Errors
    ///
    /// The plugin is in trouble.
    pub async fn mint(&self, recipient: &str, scope: &str, now: Timestamp, wait: Duration) -> Result<Minted, Trouble> {
        let (recipient, scope) = (recipient.to_owned(), scope.to_owned());
        Ok(self.0.call("mint", wait, move |opened| opened.mint(&recipient, &scope, now)).await?)
    }
}

stage! {
    /// A renderer.
    FileRenderer of v1::Renderer
}

impl FileRenderer {
    /// The content: a value for each key of `parts`.
    ///
    /// # Errors
    ///
    /// The template or its data is at fault, or the plugin is in trouble.
    pub async fn render(
        &self,
        parts: &[(String, Part)],
        data: &Value,
        wait: Duration,
    ) -> Result<Map<String, Value>, RenderTrouble> {
        let (parts, data) = (parts.to_vec(), data.clone());
        self.0.call("render", wait, move |opened| opened.render(&parts, &data)).await.map_err(render_trouble)
    }

    /// The same, for callers outside a runtime.
    ///
    /// # Errors
    ///
    /// The template or its data is at fault, or the plugin is in trouble.
    pub fn render_blocking(
        &self,
        parts: &[(String, Part)],
        data: &Value,
        wait: Duration,
    ) -> Result<Map<String, Value>, RenderTrouble> {
        let (parts, data) = (parts.to_vec(), data.clone());
        self.0.call_blocking("render", wait, move |opened| opened.render(&parts, &data)).map_err(render_trouble)
    }
}

/// A refusal to render is about one string: the first.
pub(crate) fn render_trouble(fault: Fault) -> RenderTrouble {
    match fault {
        Fault::Refused(problems) => match problems.into_iter().next() {
            Some(problem) => RenderTrouble::Violation(problem),
            None => RenderTrouble::Violation(Violation::new("", "cannot be rendered")),
        },
        Fault::Trouble(trouble) => RenderTrouble::Trouble(trouble),
    }
}

stage! {
    /// A reader of what the provider pushes.
    FileCallback of v1::Callback
}

/// A request from the provider, kept for its way to the plugin's thread.
#[derive(Clone)]
pub struct OwnedPush {
    /// When it came.
    pub now: Timestamp,
    /// GET or POST.
    pub method: String,
    /// The query as it came, without the question mark.
    pub query: String,
    /// Headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl fmt::Debug for OwnedPush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.method, self.body.len())
    }
}

impl FileCallback {
    /// What the push says, and the answer it gets.
    ///
    /// # Errors
    ///
    /// The plugin is in trouble.
    pub async fn receive(&self, push: OwnedPush, wait: Duration) -> Result<Received, Trouble> {
        let call = move |opened: &Opened<v1::Callback>| {
            let OwnedPush { now, method, query, headers, body } = &push;
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            opened.receive(&Push { now: *now, method, query, headers: &headers, body })
        };
        Ok(self.0.call("receive", wait, call).await?)
    }
}
