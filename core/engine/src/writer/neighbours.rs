//! Other engines that share the store: what they changed is taken over here, what they left behind is settled here, and
//! they are told how this one does. Of a store in a file there are none, and nothing here does anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidings_model::State;
use tidings_model::retry::{Backoff, Random, delay};
use tidings_store::{Lease, News, Settle, Standing, StoreError, TAKEN_OVER_MAX, Writer};
use tokio::sync::Notify;

use super::{Memory, WriterTask, look};
use crate::agreement::Agreement;
use crate::clock::random;
use crate::definitions::Definitions;
use crate::engine::{forget_webhooks, orphans, settle_orphan};
use crate::events::Whose;
use crate::keys::Keys;
use crate::nodes::Accord;

/// Between two looks at everything that others may have changed. A change rings, so this is for the bell that was not
/// heard, and bounds how long a message waits whose engine died after it had accepted it.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// Between two such looks while they fail.
const LOOK_AGAIN: Backoff = Backoff { base: Duration::from_millis(50), cap: LOOK_AROUND };

/// When to look at everything again.
#[derive(Debug)]
struct Looks {
    next_at: Instant,
    /// Looks that failed in a row.
    failures: u32,
}

impl Looks {
    fn new(now: Instant) -> Looks {
        Looks { next_at: now + LOOK_AROUND, failures: 0 }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.next_at <= now
    }

    /// How long until the next.
    fn wait(&self, now: Instant) -> Duration {
        self.next_at.saturating_duration_since(now)
    }

    /// It was looked. If there was more than is taken at once, the next is at the next turn.
    fn looked(&mut self, now: Instant, more: bool) {
        *self = Looks::new(now);
        if more {
            self.next_at = now;
        }
    }

    /// The store did not answer: what others left must not wait a whole turn longer for it.
    fn failed(&mut self, now: Instant, random: Random) {
        self.failures = self.failures.saturating_add(1);
        self.next_at = now + delay(LOOK_AGAIN, self.failures, random);
    }
}

/// What the writer knows of them.
pub(crate) struct Neighbours {
    pub(super) lease: Lease,
    /// Another engine changed something.
    pub(super) rung: Arc<Notify>,
    keys: Arc<Keys>,
    accord: Accord,
    /// What waits for webhooks that config does not have was left for another engine at the start.
    leaves_webhooks: bool,
    looks: Looks,
    told_at: Instant,
    /// Messages that this engine sent since then.
    sent: u64,
}

impl Neighbours {
    pub(crate) fn new(store: &Writer, keys: Arc<Keys>, accord: Accord, leaves_webhooks: bool) -> Neighbours {
        let (lease, rung) = (store.lease(), store.rung());
        let now = Instant::now();
        Neighbours { lease, rung, keys, accord, leaves_webhooks, looks: Looks::new(now), told_at: now, sent: 0 }
    }

    /// How long until everything is to be looked at again.
    pub(super) fn wait(&self) -> Duration {
        self.looks.wait(Instant::now())
    }

    pub(super) fn settled(&mut self, settles: &[Settle]) {
        self.sent += settles.iter().filter(|settle| settle.settlement.to == State::Sent).count() as u64;
    }

    /// What is told of this engine from now on.
    fn tell(&mut self, in_flight: u32, draining: bool, definitions: &Definitions) {
        let elapsed = self.told_at.elapsed().as_millis().max(1);
        let sent_per_s = u32::try_from(u128::from(self.sent) * 1000 / elapsed).unwrap_or(u32::MAX);
        (self.sent, self.told_at) = (0, Instant::now());
        let config = definitions.config.fingerprint();
        self.lease.tell(Standing { in_flight, sent_per_s, draining, config });
    }
}

impl WriterTask {
    /// Looks what other engines did, once in a while or when one of them `rang`.
    pub(super) async fn look_around(&mut self, memory: &mut Memory, rang: bool) {
        let whole = self.neighbours.looks.is_due(Instant::now());
        if !self.store.is_shared() || !(whole || rang) {
            return;
        }
        let now = self.clock.now();
        if whole && self.neighbours.told_at.elapsed() >= LOOK_AROUND {
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
                    let taken = match self.agreement {
                        // Whether a window is open is nothing that its clock says.
                        Agreement::Off => Ok(false),
                        _ => self.take_over(memory, &definitions, lets_go).await,
                    };
                    match taken {
                        Ok(more) => self.neighbours.looks.looked(Instant::now(), more),
                        Err(error) => self.look_failed("look for what other engines left", &error, whole),
                    }
                    if lets_go && self.neighbours.leaves_webhooks {
                        self.forget_webhooks(&definitions).await;
                    }
                }
            }
            Err(error) => self.look_failed("look what other engines did", &error, whole),
        }
    }

    fn look_failed(&mut self, doing: &str, error: &StoreError, whole: bool) {
        self.inbox.watch.failed(doing, error);
        if whole {
            self.neighbours.looks.failed(Instant::now(), random());
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

    /// Settles what engines left that are gone, as after a crash: with the next transaction. True if there may be more.
    async fn take_over(
        &mut self,
        memory: &mut Memory,
        definitions: &Definitions,
        lets_go: bool,
    ) -> Result<bool, StoreError> {
        let orphans = orphans(&mut self.store, definitions, lets_go).await?;
        if orphans.is_empty() {
            return Ok(false);
        }
        let more = orphans.len() >= TAKEN_OVER_MAX as usize;
        tracing::warn!(count = orphans.len(), "messages were on their way in an engine that is gone; settling them");
        for orphan in orphans {
            memory.unsettled.0.push(settle_orphan(&self.pipeline, &*self.clock, &orphan));
            memory.unsettled.1.push(Whose { template: orphan.template, recipient: orphan.recipient, trace: None });
        }
        Ok(more)
    }

    /// What the start left, once it is known that no other engine has them.
    async fn forget_webhooks(&mut self, definitions: &Definitions) {
        match forget_webhooks(&mut self.store, &definitions.config).await {
            Ok(()) => self.neighbours.leaves_webhooks = false,
            Err(error) => self.inbox.watch.failed("forget what waits for webhooks that config does not have", &error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_fails_is_made_again_soon_and_one_that_left_something_at_once() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut looks = Looks::new(begin);
        assert!(!looks.is_due(at(999)) && looks.is_due(at(1000)));
        assert_eq!(looks.wait(at(400)), Duration::from_millis(600));
        looks.failed(at(1000), Random(u64::MAX));
        let first = looks.wait(at(1000));
        assert!(first <= LOOK_AGAIN.base, "{first:?}");
        for _ in 0..99 {
            looks.failed(at(1000), Random(u64::MAX));
        }
        let last = looks.wait(at(1000));
        assert!(first < last && last <= LOOK_AROUND, "{last:?}");
        looks.looked(at(2000), true);
        assert!(looks.is_due(at(2000)), "there was more than is taken at once");
        looks.looked(at(2000), false);
        assert_eq!(looks.wait(at(2000)), LOOK_AROUND);
    }
}
