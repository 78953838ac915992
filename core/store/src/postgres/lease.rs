//! Which node this is, and until when it may be sure of it.
//!
//! A node's row says until when, by the database's clock, what it claimed is its own. It is renewed every few seconds. A
//! node that cannot renew it stops sending some time before the lease is over: it goes by a clock that nobody sets and that
//! goes on while the machine sleeps, counted from before the question was asked, so that it is always the more careful
//! side. A node whose lease lapsed joins again as another; what it had claimed is settled by whoever looks first, itself
//! perhaps, as after a crash.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinHandle;

use super::server::Server;
use tidings_model::Timestamp;

use crate::error::StoreError;
use crate::sql::{Connection, both, sql};

/// How long what a node claimed is its own without a word from it.
pub const LEASE: Duration = Duration::from_secs(15);

/// How often a lease is renewed in its length.
const RENEWALS: u32 = 5;

/// The part of a lease before its end in which its node no longer trusts it: a third.
const MARGIN: u32 = 3;

/// Messages that are taken over at once from nodes that are gone.
pub const TAKEN_OVER_MAX: u32 = 1024;

/// Numbers that an engine remembers of those it had.
const FORMER_MAX: usize = 64;

/// How a node is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeName {
    /// The machine's name, or what config calls it.
    pub name: String,
    /// The program's version.
    pub version: String,
    /// Where its API is, if it has one.
    pub address: Option<String>,
    /// How long its lease is.
    pub lease: Duration,
}

impl Default for NodeName {
    fn default() -> NodeName {
        NodeName { name: "node".to_owned(), version: String::new(), address: None, lease: LEASE }
    }
}

/// What a node tells of itself with each renewal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// Messages on their way.
    pub in_flight: u32,
    /// Messages sent in the last second or so, as a rate.
    pub sent_per_s: u32,
    /// It takes nothing new.
    pub draining: bool,
    /// A fingerprint of the config it goes by.
    pub config: String,
}

/// Whether this node may send. Cheap to clone; of a store in a file it always may.
#[derive(Debug, Clone, Default)]
pub struct Lease {
    shared: Option<Arc<Shared>>,
}

#[derive(Debug)]
struct Shared {
    /// The node as it is now; another after a lease lapsed.
    node: AtomicI64,
    /// Until when the lease is trusted, in milliseconds of [`elapsed_ms`].
    trusted_until: AtomicU64,
    /// What is told of it.
    standing: std::sync::Mutex<Standing>,
    /// What the database's clock said last.
    heard: std::sync::Mutex<Heard>,
    /// It is the first of those that are there.
    leads: AtomicBool,
}

/// What a clock said when it was asked.
#[derive(Debug, Clone, Copy, Default)]
struct Heard {
    said: Timestamp,
    /// Between these two instants of [`elapsed_ms`].
    asked_at: u64,
    answered_at: u64,
}

impl Heard {
    /// What it says at an instant of [`elapsed_ms`] that is not before, and how far that may be wrong either way: half of what
    /// the question took, and the parts of milliseconds that nobody counts.
    fn at(self, elapsed: u64) -> (Timestamp, Duration) {
        let middle = self.asked_at.midpoint(self.answered_at);
        let within = Duration::from_millis(self.answered_at.saturating_sub(self.asked_at) / 2 + 2);
        (self.said.after(Duration::from_millis(elapsed.saturating_sub(middle))), within)
    }
}

impl Lease {
    /// What the database's clock says now, and how far that may be wrong either way: as it said when this node joined or
    /// renewed its lease, and as much later as it is since. `None` where there is no such clock.
    pub fn database_clock(&self) -> Option<(Timestamp, Duration)> {
        let shared = self.shared.as_ref()?;
        let heard = *shared.heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Some(heard.at(elapsed_ms()))
    }

    /// Whether what this node claimed is still its own. Asked right before something is sent.
    pub fn is_trusted(&self) -> bool {
        self.shared.as_ref().is_none_or(|shared| elapsed_ms() < shared.trusted_until.load(Ordering::Acquire))
    }

    /// The node, where there are several.
    pub fn node(&self) -> Option<i64> {
        self.shared.as_ref().map(|shared| shared.node.load(Ordering::Acquire))
    }

    /// Whether what one engine does for all of them is this one's: the first of those that are there. Two may think so for
    /// a moment, none for as long as a lease lasts: what is done by it must bear both.
    pub fn leads(&self) -> bool {
        self.shared.as_ref().is_none_or(|shared| shared.leads.load(Ordering::Acquire))
    }

    /// What the next renewal tells.
    pub fn tell(&self, standing: Standing) {
        if let Some(shared) = &self.shared {
            *shared.standing.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = standing;
        }
    }
}

/// A node's part of the store.
#[derive(Debug)]
pub(crate) struct Membership {
    name: NodeName,
    shared: Arc<Shared>,
    /// What it was before, the newest ones.
    former: VecDeque<i64>,
    renewing: JoinHandle<()>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

impl Membership {
    /// Joins, and keeps the lease from then on.
    pub(crate) async fn join(
        connection: &mut Connection,
        server: Server,
        name: NodeName,
    ) -> Result<Membership, StoreError> {
        let shared = Arc::new(Shared {
            node: AtomicI64::new(0),
            trusted_until: AtomicU64::new(0),
            standing: std::sync::Mutex::default(),
            heard: std::sync::Mutex::default(),
            leads: AtomicBool::new(false),
        });
        shared.join(connection, &name).await?;
        let renewing = tokio::spawn(renew(Arc::clone(&shared), server, name.lease));
        Ok(Membership { name, shared, former: VecDeque::new(), renewing })
    }

    pub(crate) fn lease(&self) -> Lease {
        Lease { shared: Some(Arc::clone(&self.shared)) }
    }

    pub(crate) fn node(&self) -> i64 {
        self.shared.node.load(Ordering::Acquire)
    }

    /// The numbers that this engine has and had.
    pub(crate) fn nodes(&self) -> Vec<i64> {
        self.former.iter().copied().chain([self.node()]).collect()
    }

    /// Looks whether this node is the first of those that are there.
    pub(crate) async fn look_who_leads(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let first: Option<i64> = both("SELECT min(id) FROM node WHERE lease_until > tidings_now()")
            .fetch_scalar(connection)
            .await
            .map_err(StoreError::during("look which node is the first"))?;
        self.shared.leads.store(first == Some(self.node()) && self.lease().is_trusted(), Ordering::Release);
        Ok(())
    }

    /// Joins again as another node if the lease is over: what the former one claimed is no longer ours.
    pub(crate) async fn rejoin(&mut self, connection: &mut Connection) -> Result<(), StoreError> {
        let during = || StoreError::during("look whether this node still has its lease");
        let held: bool = both("SELECT EXISTS (SELECT FROM node WHERE id = $1 AND lease_until > tidings_now())")
            .bind(self.node())
            .fetch_scalar(connection)
            .await
            .map_err(during())?;
        if held {
            return Ok(());
        }
        let before = self.node();
        self.shared.join(connection, &self.name).await?;
        if self.former.len() == FORMER_MAX {
            self.former.pop_front();
        }
        self.former.push_back(before);
        tracing::warn!(before, now = self.node(), "this node lost its lease and joined again as another");
        Ok(())
    }

    /// Leaves: nobody need wait for the lease to end.
    pub(crate) async fn leave(&self, connection: &mut Connection) -> Result<(), StoreError> {
        self.shared.trusted_until.store(0, Ordering::Release);
        let query = sql!(postgres "node_leave").query().bind(self.node());
        query.execute(connection).await.map(drop).map_err(StoreError::during("leave as a node"))
    }
}

impl Shared {
    async fn join(&self, connection: &mut Connection, name: &NodeName) -> Result<(), StoreError> {
        let asked_at = elapsed_ms();
        let config = self.standing.lock().unwrap_or_else(std::sync::PoisonError::into_inner).config.clone();
        let row = sql!(postgres "node_join")
            .query()
            .bind(&name.name)
            .bind(&name.version)
            .bind(config)
            .bind(millis(name.lease))
            .bind(&name.address)
            .fetch_one(connection)
            .await
            .map_err(StoreError::during("join as a node"))?;
        self.hear(row.get(1), asked_at);
        self.node.store(row.get(0), Ordering::Release);
        self.trust(asked_at, name.lease);
        Ok(())
    }

    /// The database's clock answered.
    fn hear(&self, said: i64, asked_at: u64) {
        let heard = Heard { said: Timestamp(said), asked_at, answered_at: elapsed_ms() };
        *self.heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = heard;
    }

    fn trust(&self, asked_at: u64, lease: Duration) {
        let trusted = lease - lease / MARGIN;
        self.trusted_until.store(asked_at + u64::try_from(millis(trusted)).unwrap_or(0), Ordering::Release);
    }
}

/// Renews the lease for as long as the node lives, over a connection of its own: whatever holds others up does not hold this
/// up. A renewal that the server is still at work on is waited for, however late: where commits wait for a standby that is
/// gone, each new one would leave another connection waiting there. One that was lost is asked again over a new connection.
async fn renew(shared: Arc<Shared>, server: Server, lease: Duration) {
    let mut beat = tokio::time::interval(lease / RENEWALS);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    beat.tick().await;
    let mut connection = None;
    // The first of many is told; whoever asks the store for more says how long it is away.
    let mut fails = false;
    loop {
        beat.tick().await;
        let (asked_at, node) = (elapsed_ms(), shared.node.load(Ordering::Acquire));
        let renewed = {
            let mut renewing = std::pin::pin!(renew_once(&shared, &server, &mut connection, lease));
            match tokio::time::timeout(lease / MARGIN, &mut renewing).await {
                Ok(renewed) => renewed,
                Err(_) => {
                    tell_failure(&mut fails, "no answer in time");
                    renewing.await
                }
            }
        };
        if let Err(error) = &renewed {
            let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
            tell_failure(&mut fails, &format!("{error}{source}"));
            connection = None;
        } else {
            fails = false;
        }
        match renewed {
            // The writer has joined as another meanwhile: the answer is of the one before.
            _ if shared.node.load(Ordering::Acquire) != node => {}
            Ok(true) => shared.trust(asked_at, lease),
            // The writer sees it at its next transaction and joins again.
            Ok(false) => shared.trusted_until.store(0, Ordering::Release),
            Err(_) => {}
        }
    }
}

fn tell_failure(fails: &mut bool, why: &str) {
    if !std::mem::replace(fails, true) {
        tracing::warn!("renew this node's lease: {why}; it is tried again, and nothing is sent once it is not trusted");
    }
}

/// False if the lease is over.
async fn renew_once(
    shared: &Shared,
    server: &Server,
    connection: &mut Option<Connection>,
    lease: Duration,
) -> Result<bool, StoreError> {
    let during = || StoreError::during("renew a lease");
    let connection = match connection {
        Some(connection) => connection,
        None => {
            let connecting = tokio::time::timeout(lease / MARGIN, server.connect_urgently(lease / RENEWALS)).await;
            connection.insert(connecting.unwrap_or_else(|_| Err(during()(sqlx::Error::PoolTimedOut)))?)
        }
    };
    let Standing { in_flight, sent_per_s, draining, config } =
        shared.standing.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    // A transaction by name: behind a pooler, too, it is known then whether the server is still at work on it.
    both("BEGIN").execute(connection).await.map_err(during())?;
    let asked_at = elapsed_ms();
    let renewed = sql!(postgres "node_renew")
        .query()
        .bind(shared.node.load(Ordering::Acquire))
        .bind(millis(lease))
        .bind(in_flight)
        .bind(sent_per_s)
        .bind(draining)
        .bind(config)
        .fetch_optional_scalar(connection)
        .await
        .map_err(during())?;
    if let Some(said) = renewed {
        shared.hear(said, asked_at);
    }
    both("COMMIT").execute(connection).await.map_err(during())?;
    Ok(renewed.is_some())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Time since the machine started, also while it slept.
fn elapsed_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec * 1000 + now.tv_nsec / 1_000_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_asked_goes_on_from_the_middle_of_the_question() {
        let heard = Heard { said: Timestamp(50_000), asked_at: 1_000, answered_at: 1_400 };
        let ms = Duration::from_millis;
        assert_eq!(heard.at(1_400), (Timestamp(50_200), ms(202)), "it spoke when it was asked, or just now");
        assert_eq!(heard.at(61_400), (Timestamp(110_200), ms(202)));
        let at_once = Heard { answered_at: 1_000, ..heard };
        assert_eq!(at_once.at(1_000), (Timestamp(50_000), ms(2)));
    }
}
