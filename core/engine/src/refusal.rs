//! What a caller of the engine is told when the answer is no.

use std::fmt;
use std::sync::Arc;

use tidings_store::StoreError;

/// What the caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Change the request.
    Invalid,
    /// Name something that exists.
    NotFound,
    /// The thing is in another state than the request supposes.
    Conflict,
    /// Ask somebody who may.
    Forbidden,
    /// Come again later.
    Unavailable,
    /// Come again when somebody has made room on the disk.
    Full,
}

/// A no, with a stable code and a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Stable: `template-unknown`.
    pub code: &'static str,
    /// What the caller can do about it.
    pub class: Class,
    /// What was tried, expected and found, and what to do.
    pub detail: String,
}

impl Refusal {
    pub(crate) fn new(class: Class, code: &'static str, detail: impl Into<String>) -> Refusal {
        Refusal { code, class, detail: detail.into() }
    }

    pub(crate) fn invalid(code: &'static str, detail: impl Into<String>) -> Refusal {
        Refusal::new(Class::Invalid, code, detail)
    }

    pub(crate) fn not_found(code: &'static str, detail: impl Into<String>) -> Refusal {
        Refusal::new(Class::NotFound, code, detail)
    }

    pub(crate) fn busy() -> Refusal {
        Refusal::new(
            Class::Unavailable,
            "busy",
            "the engine has more to write than it can; send again in a few seconds",
        )
    }

    pub(crate) fn stopping() -> Refusal {
        Refusal::new(Class::Unavailable, "stopping", "the engine is stopping; send again when it is back")
    }

    /// The store did not do it. The chain of causes is told: nothing in it is secret.
    pub(crate) fn store(error: &StoreError) -> Refusal {
        let mut detail = format!("the store did not take it: {error}");
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            detail.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        if error.is_full() {
            return Refusal::new(Class::Full, "store-full", detail);
        }
        Refusal::new(Class::Unavailable, "store", detail)
    }
}

impl From<Arc<StoreError>> for Refusal {
    fn from(error: Arc<StoreError>) -> Refusal {
        Refusal::store(&error)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        match error {
            StoreError::Cursor(_) => Refusal::invalid("cursor-invalid", error.to_string()),
            other => Refusal::store(&other),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Refusal {}
