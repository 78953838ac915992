//! What the load asked for and what it was answered: the one memory that no kill touches.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::lane::Lane;

/// A message that the load wants sent.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) lane: Lane,
    /// In its data, and its idempotency key: what it is known by everywhere.
    pub(crate) order: String,
    pub(crate) to: String,
    /// The id the engine answered with; none while it has not answered.
    pub(crate) id: Option<String>,
    /// The load's operator asked for its end.
    pub(crate) cancelled: bool,
}

/// All of them, shared by the clients.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    inner: Mutex<Inner>,
}

/// What the ledger holds.
#[derive(Debug, Default, Clone)]
pub(crate) struct Inner {
    pub(crate) entries: Vec<Entry>,
    /// How far the engine's clock is from ours.
    pub(crate) shift_ms: i64,
    /// Ids of credentials that were acknowledged.
    pub(crate) credentials: HashSet<String>,
    /// Recipients whom WeChat does not know until somebody mends it.
    pub(crate) gone: HashSet<String>,
    /// What was answered and may not be: the same key with another message.
    pub(crate) contradictions: Vec<String>,
    /// Nobody asks again what was refused, until this is over.
    pub(crate) hushed: bool,
    /// Refusals by code, for the record.
    pub(crate) refused: std::collections::BTreeMap<String, u64>,
}

impl Ledger {
    pub(crate) fn look(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what will be asked for, and gives its number.
    pub(crate) fn intend(&self, lane: Lane, order: &str, to: &str) -> usize {
        let mut inner = self.look();
        let (order, to) = (order.to_owned(), to.to_owned());
        inner.entries.push(Entry { lane, order, to, id: None, cancelled: false });
        inner.entries.len() - 1
    }

    /// Notes an answer.
    pub(crate) fn accepted(&self, number: usize, id: &str) {
        let mut inner = self.look();
        let entry = &mut inner.entries[number];
        match &entry.id {
            None => entry.id = Some(id.to_owned()),
            Some(known) if known == id => {}
            Some(known) => {
                let text = format!("the key {} was accepted as {known} and again as {id}", entry.order);
                inner.contradictions.push(text);
            }
        }
    }

    pub(crate) fn refused(&self, code: &str) {
        *self.look().refused.entry(code.to_owned()).or_default() += 1;
    }

    pub(crate) fn snapshot(&self) -> Inner {
        self.look().clone()
    }
}
