//! What a provider pushes to us: permits given and withdrawn, receipts.

use std::fmt;

use tidings_model::Timestamp;

use crate::credential::Permit;
use crate::settings::App;

/// Reads what a provider pushes to us.
pub trait Callback: Send + Sync {
    /// What the push says, and the answer it gets.
    fn receive(&self, app: &App, push: &Push<'_>) -> Received;
}

/// A request from the provider.
#[derive(Clone, Copy)]
pub struct Push<'a> {
    /// When it came.
    pub now: Timestamp,
    /// GET or POST.
    pub method: &'a str,
    /// The query as it came, without the question mark.
    pub query: &'a str,
    /// Headers, their names in lower case.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

impl fmt::Debug for Push<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.method, self.body.len())
    }
}

/// What a push came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// What happened, in order.
    pub events: Vec<PushEvent>,
    /// The answer.
    pub reply: Reply,
}

/// The answer to a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The content type.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

/// One thing that a provider tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushEvent {
    /// A recipient gave a permit.
    Permit {
        /// The source's name inside the plugin.
        source: String,
        /// The permit.
        permit: Permit,
    },
    /// A recipient withdrew what was given.
    Refusal {
        /// The source's name inside the plugin.
        source: String,
        /// Whose, and for what: recipient, scope, identity.
        permit: Permit,
    },
    /// A message has arrived.
    Delivered {
        /// What the provider calls it.
        provider_id: String,
    },
    /// A message has not arrived.
    Failed {
        /// What the provider calls it.
        provider_id: String,
        /// Why, for people.
        detail: String,
    },
}
