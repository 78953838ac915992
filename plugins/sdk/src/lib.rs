//! What a plugin author uses: the stage traits and the values they pass.
//!
//! A message passes token provider → credential source → renderer → transport. A stage is pure: it builds a request
//! and reads a response. The engine owns sockets, time, retries, tokens, limits and storage, so a stage is small,
//! testable without a network, and cannot leak a retry storm.
//!
//! ```
//! use tidings_sdk::{Delivery, HttpTransport, Outcome, Request, Response, Setting};
//!
//! struct Note;
//!
//! impl HttpTransport for Note {
//!     fn template_settings(&self) -> &'static [Setting] {
//!         const SETTINGS: &[Setting] = &[Setting::template("text", "what is said").required()];
//!         SETTINGS
//!     }
//!
//!     fn request(&self, delivery: &Delivery<'_>) -> Result<Request, String> {
//!         let url = format!("{}/notes/{}", delivery.app.settings.text("base_url"), delivery.recipient);
//!         Ok(Request::post_json(url, &delivery.content["text"]))
//!     }
//!
//!     fn read(&self, response: &Response<'_>) -> Outcome {
//!         match response.status {
//!             200..=299 => Outcome::Accepted { provider_id: None },
//!             404 | 410 => Outcome::RecipientGone { detail: "no such user".into() },
//!             status => Outcome::Unknown { detail: format!("HTTP {status}") },
//!         }
//!     }
//! }
//! ```

mod http;
mod settings;
mod stages;

pub use http::{Method, Request, Response, percent_encode};
pub use settings::{App, Setting, SettingKind, Settings};
pub use stages::{
    Credential, CredentialSource, Delivery, Fetched, HttpTransport, Intake, Permit, Plugin, TokenProvider, Violation,
};
pub use tidings_model::{CredentialKind, Outcome, Timestamp, spelling};
