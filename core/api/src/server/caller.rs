//! Who makes a call: known before the call is looked at, carried with the request.

use std::sync::Arc;

use tidings_model::Scopes;

/// Who makes a call.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// Who, for the record of changes: a key's name, or `local`.
    pub(super) name: Arc<str>,
    /// What the caller may do.
    pub(super) scopes: Scopes,
    /// Whether the call came over the local socket.
    pub(super) local: bool,
}

impl Caller {
    /// Whoever may open the local socket may do everything.
    pub(super) fn local() -> Caller {
        Caller { name: "local".into(), scopes: Scopes::ALL, local: true }
    }
}
