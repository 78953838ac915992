//! The first stage: what authorises an app at its provider.

use std::fmt;
use std::time::Duration;

use crate::http::{Request, Response};
use crate::settings::App;

/// Fetches what authorises an app at its provider. The engine caches, renews and counts.
pub trait TokenProvider: Send + Sync {
    /// The request for a token, or why there can be none.
    fn request(&self, app: &App) -> Result<Request, String>;

    /// What the answer says.
    fn read(&self, app: &App, response: &Response<'_>) -> Fetched;

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
        /// Not before this has passed, where the provider says so.
        after: Option<Duration>,
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

impl Fetched {
    /// Another try is worth it, at a time of the engine's choice.
    pub fn retry(detail: impl Into<String>) -> Fetched {
        Fetched::Retry { after: None, detail: detail.into() }
    }
}

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fetched::Token { life, .. } => write!(f, "Token(…, {life:?})"),
            Fetched::Retry { detail, .. } => write!(f, "Retry({detail})"),
            Fetched::QuotaExhausted { detail } => write!(f, "QuotaExhausted({detail})"),
            Fetched::Halt { reason } => write!(f, "Halt({reason})"),
        }
    }
}
