//! Other engines that share the store: what they changed is taken over here, what they left behind is settled here, and
//! they are told how this one does. Of a store in a file there are none, and nothing here does anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidings_model::State;
use tidings_store::{Lease, News, Settle, Standing, Writer};
use tokio::sync::Notify;

use super::{Memory, WriterTask, look};
use crate::definitions::Definitions;
use crate::engine::{forget_webhooks, orphans, settle_orphan};
use crate::events::Whose;
use crate::keys::Keys;
use crate::nodes::Accord;

/// Between two looks at everything that others may have changed. A change rings, so this is for the bell that was not
/// heard, and bounds how long a message waits whose engine died after it had accepted it.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// What the writer knows of them.
pub(crate) struct Neighbours {
    pub(super) lease: Lease,
    /// Another engine changed something.
    pub(super) rung: Arc<Notify>,
    keys: Arc<Keys>,
    accord: Accord,
    /// What waits for webhooks that config does not have was left for another engine at the start.
    leaves_webhooks: bool,
    looked_at: Instant,
    /// Messages that this engine sent since then.
    sent: u64,
}

impl Neighbours {
    pub(crate) fn new(store: &Writer, keys: Arc<Keys>, accord: Accord, leaves_webhooks: bool) -> Neighbours {
        let (lease, rung) = (store.lease(), store.rung());
        Neighbours { lease, rung, keys, accord, leaves_webhooks, looked_at: Instant::now(), sent: 0 }
    }

    pub(super) fn settled(&mut self, settles: &[Settle]) {
        self.sent += settles.iter().filter(|settle| settle.settlement.to == State::Sent).count() as u64;
    }

    /// What is told of this engine from now on.
    fn tell(&mut self, in_flight: u32, draining: bool, definitions: &Definitions) {
        let elapsed = self.looked_at.elapsed().as_millis().max(1);
        let sent_per_s = u32::try_from(u128::from(self.sent) * 1000 / elapsed).unwrap_or(u32::MAX);
        (self.sent, self.looked_at) = (0, Instant::now());
        let config = definitions.config.fingerprint();
        self.lease.tell(Standing { in_flight, sent_per_s, draining, config });
    }
}

impl WriterTask {
    /// Looks what other engines did, once in a while or when one of them `rang`.
    pub(super) async fn look_around(&mut self, memory: &mut Memory, rang: bool) {
        let whole = self.neighbours.looked_at.elapsed() >= LOOK_AROUND;
        if !self.store.is_shared() || !(whole || rang) {
            return;
        }
        let now = self.clock.now();
        if whole {
            let definitions = Arc::clone(&self.redefine.borrow());
            let (in_flight, draining) = {
                let lanes = look(&self.lanes);
                (lanes.in_flight(), lanes.draining)
            };
            self.neighbours.tell(in_flight, draining, &definitions);
        }
        memory.claims_rest_until = None;
        match self.store.news(now, whole).await {
            Ok(news) => {
                self.store_served();
                if let Some(news) = news {
                    self.adopt(news);
                }
                if whole {
                    self.desk.set_pending(self.store.pending());
                    // What another engine accepted for later is made due by whoever leads, should that one be gone.
                    if self.neighbours.lease.leads() {
                        memory.next_due = Some(now);
                    }
                    let definitions = Arc::clone(&self.redefine.borrow());
                    let lets_go = self.neighbours.accord.holds_for(&definitions.config);
                    self.take_over(memory, &definitions, lets_go).await;
                    if lets_go && self.neighbours.leaves_webhooks {
                        self.forget_webhooks(&definitions).await;
                    }
                }
            }
            Err(error) => self.inbox.watch.failed("look what other engines did", &error),
        }
    }

    fn adopt(&self, news: News) {
        let definitions = Arc::clone(&self.redefine.borrow());
        look(&self.lanes).adopt(&news.channels, news.halts, &definitions.config);
        for (app, row) in news.tokens {
            if let Some(keeper) = definitions.keepers.get(&app) {
                keeper.adopt(row);
            }
        }
        self.neighbours.keys.adopt(news.keys);
        for (webhook, standing) in news.webhooks {
            self.desk.change(&webhook, |stand| stand.kept = standing);
        }
    }

    /// Settles what engines left that are gone, as after a crash: with the next transaction.
    async fn take_over(&mut self, memory: &mut Memory, definitions: &Definitions, lets_go: bool) {
        let orphans = match orphans(&mut self.store, definitions, lets_go).await {
            Ok(orphans) => orphans,
            Err(error) => {
                self.inbox.watch.failed("look for what other engines left", &error);
                return;
            }
        };
        if orphans.is_empty() {
            return;
        }
        tracing::warn!(count = orphans.len(), "messages were on their way in an engine that is gone; settling them");
        for orphan in orphans {
            memory.unsettled.0.push(settle_orphan(&self.pipeline, &*self.clock, &orphan));
            memory.unsettled.1.push(Whose { template: orphan.template, recipient: orphan.recipient, trace: None });
        }
    }

    /// What the start left, once it is known that no other engine has them.
    async fn forget_webhooks(&mut self, definitions: &Definitions) {
        match forget_webhooks(&mut self.store, &definitions.config).await {
            Ok(()) => self.neighbours.leaves_webhooks = false,
            Err(error) => self.inbox.watch.failed("forget what waits for webhooks that config does not have", &error),
        }
    }
}
