//! How the webhooks stand, for couriers and for whoever looks. What must outlive a stop is in the store too.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidings_model::{Timestamp, WebhookName};
use tidings_store::{Backlog, WebhookStanding};
use tokio::sync::Notify;

use super::WebhookConfig;

/// A webhook, for people.
#[derive(Debug, Clone)]
pub struct WebhookView {
    /// Its name.
    pub name: WebhookName,
    /// Its definition.
    pub config: Arc<WebhookConfig>,
    /// How it stands.
    pub standing: WebhookStanding,
    /// Notices that wait.
    pub pending: u64,
    /// Notices it was told since the start.
    pub told: u64,
    /// What its receiver answered last that was no yes, and when.
    pub last_failure: Option<(Timestamp, String)>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    webhooks: Mutex<BTreeMap<WebhookName, Stand>>,
}

/// How one stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stand {
    pub(crate) kept: WebhookStanding,
    pub(crate) pending: u64,
    pub(crate) told: u64,
    pub(crate) last_failure: Option<(Timestamp, String)>,
    /// Tries that failed one after the other.
    pub(crate) failures: u32,
    /// Nothing is posted before.
    pub(crate) rest_until: Option<Timestamp>,
    /// Its courier sleeps there.
    pub(crate) wake: Arc<Notify>,
}

impl Desk {
    pub(crate) fn new(
        standings: impl IntoIterator<Item = (WebhookName, WebhookStanding)>,
        pending: &std::collections::HashMap<WebhookName, u64>,
    ) -> Desk {
        let desk = Desk::default();
        for (name, kept) in standings {
            desk.change(&name, |stand| stand.kept = kept);
        }
        desk.set_pending(pending);
        desk
    }

    /// Takes the counts of the store as they are.
    pub(crate) fn set_pending(&self, pending: &std::collections::HashMap<WebhookName, u64>) {
        let mut webhooks = self.webhooks();
        // Another engine may have told the last one.
        for (_, stand) in webhooks.iter_mut().filter(|(name, _)| !pending.contains_key(*name)) {
            stand.pending = 0;
        }
        for (name, count) in pending {
            let stand = webhooks.entry(name.clone()).or_default();
            if *count > stand.pending {
                stand.wake.notify_one();
            }
            stand.pending = *count;
        }
    }

    pub(crate) fn look(&self, name: &WebhookName) -> Stand {
        self.webhooks().entry(name.clone()).or_default().clone()
    }

    pub(crate) fn change(&self, name: &WebhookName, change: impl FnOnce(&mut Stand)) {
        change(self.webhooks().entry(name.clone()).or_default());
    }

    /// Takes note of what a transaction did, and wakes the couriers that have something to do.
    pub(crate) fn committed(&self, backlogs: &BTreeMap<WebhookName, Backlog>, resumed: &[WebhookName]) {
        if backlogs.is_empty() {
            return;
        }
        let mut webhooks = self.webhooks();
        for (name, backlog) in backlogs {
            let stand = webhooks.entry(name.clone()).or_default();
            stand.pending = backlog.pending;
            if backlog.dropped > 0 && stand.kept.dropped == 0 {
                tracing::warn!(webhook = %name, "more notices wait than are kept; the oldest leave, and are counted");
            }
            stand.kept.dropped += backlog.dropped;
            if resumed.contains(name) {
                stand.kept = WebhookStanding { failing_since: None, disabled: None, ..stand.kept.clone() };
                (stand.failures, stand.rest_until, stand.last_failure) = (0, None, None);
            }
            if backlog.new > 0 || resumed.contains(name) {
                stand.wake.notify_one();
            }
        }
    }

    fn webhooks(&self) -> MutexGuard<'_, BTreeMap<WebhookName, Stand>> {
        self.webhooks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
