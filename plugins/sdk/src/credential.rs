//! The second stage: permits to send, and what makes one fit for the ledger.

use std::collections::BTreeMap;
use std::fmt;

use tidings_model::{CredentialKind, Timestamp};

use crate::settings::App;

/// Says what a permit of one kind is, and which ones are fit for the ledger.
pub trait CredentialSource: Send + Sync {
    /// The rules of this kind.
    fn kind(&self) -> CredentialKind;

    /// Whether permits are given by [`CredentialSource::mint`] too, and not by posts alone.
    fn mints(&self) -> bool {
        false
    }

    /// Whether any transport may send with it: true of a permit that no provider wants to see.
    fn fits_any_transport(&self) -> bool {
        false
    }

    /// Takes what was posted, or says in a sentence why not.
    fn admit(&self, app: &App, intake: &Intake, now: Timestamp) -> Result<Permit, String>;

    /// The permit that a recipient has by itself at this time, if there is one. Its identity says which one it is: the
    /// ledger takes it once, however often it is asked for.
    fn mint(&self, app: &App, recipient: &str, scope: &str, now: Timestamp) -> Minted {
        let _ = (app, recipient, scope, now);
        Minted::default()
    }
}

/// What [`CredentialSource::mint`] gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Minted {
    /// The permit of this time.
    pub permit: Option<Permit>,
    /// When there is another; `None` for never.
    pub next_at: Option<Timestamp>,
}

/// A posted credential: the fields of a form, or the members of a JSON object as text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Intake {
    fields: BTreeMap<String, String>,
}

impl Intake {
    /// Takes the posted fields.
    pub fn new(fields: impl IntoIterator<Item = (String, String)>) -> Intake {
        Intake { fields: fields.into_iter().collect() }
    }

    /// Every posted field, by name.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The first of these fields that was posted, as it was posted.
    pub fn any(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.fields.get(*name)).map(String::as_str)
    }

    /// A posted field that is none of these: a misspelt name is an error, not a silence.
    pub fn unknown(&self, names: &[&str]) -> Option<&str> {
        self.fields.keys().map(String::as_str).find(|name| !names.contains(name))
    }
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.fields.keys()).finish()
    }
}

/// A credential fit for the ledger.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Permit {
    /// Whose.
    pub recipient: String,
    /// The provider's template it is for; `None` for any.
    pub scope: Option<String>,
    /// What is sent to the provider; empty where the provider only counts.
    pub value: String,
    /// What makes it the same as one seen before: the value itself, or the provider's id of the grant. `None` where
    /// nothing does.
    pub identity: Option<String>,
    /// When it was made, where that is known; the time of intake otherwise.
    pub made_at: Option<Timestamp>,
    /// When it ends, where that is known; by the kind's life otherwise.
    pub expires_at: Option<Timestamp>,
    /// How many messages it carries; the kind's number where this is `None`.
    pub uses: Option<u32>,
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("scope", &self.scope).finish_non_exhaustive()
    }
}
