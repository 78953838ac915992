//! Who makes a call: known before the call is looked at, carried with the request.

use std::sync::Arc;

use tidings_engine::KeyHolder;
use tidings_model::rate::Rate;
use tidings_model::{Scopes, Timestamp};

/// Who makes a call.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// Who, for the record of changes: a key's name, or `local`.
    pub(super) name: Arc<str>,
    /// What the caller may do.
    pub(super) scopes: Scopes,
    /// Until when.
    pub(super) expires_at: Option<Timestamp>,
    /// The rate of calls of its key alone.
    pub(super) rate: Option<Rate>,
    /// Whether the call came over the local socket.
    pub(super) local: bool,
}

impl Caller {
    /// Whoever may open the local socket may do everything.
    pub(super) fn local() -> Caller {
        Caller { name: "local".into(), scopes: Scopes::ALL, expires_at: None, rate: None, local: true }
    }

    /// Who shows a key.
    pub(super) fn keyed(holder: KeyHolder) -> Caller {
        Caller {
            name: holder.name,
            scopes: holder.scopes,
            expires_at: holder.expires_at,
            rate: holder.rate,
            local: false,
        }
    }

    /// The caller as one who gives keys to others.
    pub(super) fn holder(&self) -> KeyHolder {
        KeyHolder { name: Arc::clone(&self.name), scopes: self.scopes, expires_at: self.expires_at, rate: self.rate }
    }
}
