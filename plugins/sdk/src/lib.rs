//! What a plugin author uses: the stage traits and the values they pass.
//!
//! A message passes token provider → credential source → renderer → transport. A stage is pure: it builds a request
//! and reads a response. The engine owns sockets, time, retries, tokens, limits and storage, so a stage is small,
//! testable without a network, and cannot leak a retry storm.
//!
//! A whole provider, which is a plugin file where its crate is a `cdylib`:
//!
//! ```
//! use tidings_sdk::prelude::*;
//!
//! tidings_sdk::settings! {
//!     /// An account at Acme.
//!     pub struct Acme {
//!         /// where Acme answers
//!         endpoint: Url = "https://api.acme.example",
//!         /// the key from Acme's console
//!         key: Secret,
//!         /// who is shown as the sender
//!         sender: Option<Text>,
//!     }
//! }
//!
//! tidings_sdk::settings! {
//!     /// What Acme sends.
//!     pub struct Note {
//!         /// what is said
//!         text: Template,
//!     }
//! }
//!
//! impl Provider for Acme {
//!     type Template = Note;
//!
//!     fn request(&self, delivery: &Delivery<'_>, note: Note) -> Result<Request, String> {
//!         let body = json!({"to": delivery.recipient, "from": self.sender.as_deref(), "text": &*note.text});
//!         Ok(Request::post_json(format!("{}/notes", self.endpoint), &body).bearer(&self.key))
//!     }
//! }
//!
//! fn plugin() -> Plugin {
//!     Plugin::new("acme", env!("CARGO_PKG_VERSION")).provider::<Acme>("note")
//! }
//!
//! tidings_sdk::export!(name: "acme", roles: [http_transport], plugin: plugin());
//!
//! # fn main() {
//! // And its test:
//! let acme = tidings_sdk::testing::Harness::new(plugin(), &json!({"key": "K"})).unwrap();
//! let request = acme.request("note", "ann", &json!({"text": "Your order is on its way"})).unwrap();
//! assert_eq!(request.url, "https://api.acme.example/notes");
//! assert_eq!(acme.reply("note", 410, b"").name(), "recipient_gone");
//! # }
//! ```
//!
//! Where that is too narrow: every stage is a trait ([`TokenProvider`], [`CredentialSource`], [`Renderer`],
//! [`HttpTransport`], [`Transport`], [`Callback`]), and a [`Plugin`] has as many of each as it likes. A transport that
//! does its own talking is written as an async function with the feature `runtime`.

#[doc(hidden)]
#[expect(unsafe_code, reason = "values from the other side of the border are pointers")]
pub mod border;
mod callback;
mod credential;
mod description;
mod http;
pub mod log;
mod plugin;
pub mod prelude;
mod provider;
mod record;
mod render;
#[cfg(feature = "runtime")]
mod runtime;
mod schema;
mod settings;
pub mod testing;
mod token;
mod transport;

pub use callback::{Callback, Push, PushEvent, Received, Reply};
pub use credential::{CredentialSource, Intake, Minted, Permit};
pub use description::{DESCRIPTION_BYTES_MAX, Description, Role, SourceRules, StageDescription};
pub use http::{Header, JSON, Method, Request, Response, percent_encode};
pub use plugin::{Plugin, Stages};
pub use provider::{Provider, outcome_of};
pub use record::{Record, kinds};
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
