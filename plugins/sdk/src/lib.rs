//! What a plugin author uses: the stage traits and the values they pass.
//!
//! A message passes token provider → credential source → renderer → transport. A stage is pure: it builds a request
//! and reads a response. The engine owns sockets, time, retries, tokens, limits and storage, so a stage is small,
//! testable without a network, and cannot leak a retry storm.
//!
//! ```
//! use tidings_sdk::{App, Delivery, HttpTransport, Outcome, Request, Response, Setting, TransportRules};
//!
//! struct Note;
//!
//! impl HttpTransport for Note {
//!     fn rules(&self) -> TransportRules {
//!         const SETTINGS: &[Setting] = &[Setting::template("text", "what is said").required()];
//!         TransportRules { template_settings: SETTINGS, ..TransportRules::default() }
//!     }
//!
//!     fn request(&self, delivery: &Delivery<'_>) -> Result<Request, String> {
//!         let url = format!("{}/notes/{}", delivery.app.settings.text("base_url"), delivery.recipient);
//!         Ok(Request::post_json(url, &delivery.content["text"]))
//!     }
//!
//!     fn read(&self, _app: &App, response: &Response<'_>) -> Outcome {
//!         match response.status {
//!             200..=299 => Outcome::Accepted { provider_id: None },
//!             404 | 410 => Outcome::RecipientGone { detail: "no such user".into() },
//!             status => Outcome::Unknown { detail: format!("HTTP {status}") },
//!         }
//!     }
//! }
//! ```

#[doc(hidden)]
#[expect(unsafe_code, reason = "values from the other side of the border are pointers")]
pub mod border;
mod callback;
mod credential;
mod description;
mod http;
pub mod log;
mod plugin;
mod render;
#[cfg(feature = "runtime")]
mod runtime;
mod schema;
mod settings;
mod token;
mod transport;

pub use callback::{Callback, Push, PushEvent, Received, Reply};
pub use credential::{CredentialSource, Intake, Minted, Permit};
pub use description::{DESCRIPTION_BYTES_MAX, Description, Role, SourceRules, StageDescription};
pub use http::{Method, Request, Response, percent_encode};
pub use plugin::{Plugin, Stages};
pub use render::{Part, Renderer};
#[cfg(feature = "runtime")]
pub use runtime::{AsyncTransport, Asynchronous};
pub use schema::{from_schema, to_schema};
pub use settings::{App, NUMBER_MAX, Setting, SettingKind, Settings};
pub use tidings_model::{CredentialKind, Outcome, Timestamp, spelling};
pub use token::{Fetched, TokenProvider};
pub use transport::{
    Answer, Carrier, Credential, Delivery, HttpTransport, OwnedDelivery, Pending, Transport, TransportRules, Violation,
};
