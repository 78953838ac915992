//! The engines that share a store, as an operator looks at them.

use std::time::{Duration, Instant};

use tidings_model::Timestamp;
use tidings_store::{ChannelId, NodeRow};
use tokio::sync::watch;

use crate::agreement::Offset;
use crate::config::Config;
use crate::handle::EngineHandle;
use crate::refusal::Refusal;
use crate::writer::look;

/// Between two looks whether others go by the same config.
const COMPARE_EVERY: Duration = Duration::from_secs(2);

/// For so many leases engines must have agreed before one lets go of what its config does not name: by then each has told by
/// which config it goes since a reload, and one that was started again is back.
const AGREED_LEASES: u32 = 2;

/// An engine, for people. Of a store in a file there is one, without a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeView {
    /// What it is called.
    pub name: String,
    /// The program's version.
    pub version: String,
    /// Where its API is, if it has one.
    pub address: Option<String>,
    /// When it started.
    pub started_at: Timestamp,
    /// Messages on their way.
    pub in_flight: u32,
    /// It takes nothing new.
    pub draining: bool,
    /// A fingerprint of the config it goes by; empty before it told.
    pub config: String,
    /// Whether that is another than this engine's.
    pub config_differs: bool,
    /// Whether it is this engine.
    pub is_self: bool,
    /// Whether what one engine does for all of them is its.
    pub leads: bool,
    /// By how many milliseconds its clock is ahead of the database's, below zero behind it; known of this engine alone, where
    /// several may share a store.
    pub clock_ahead_ms: Option<i64>,
    /// What is so of engines that share a store alone.
    pub lease: Option<LeaseView>,
}

/// A lease, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseView {
    /// The node's number, which no other ever has.
    pub id: i64,
    /// Since it was renewed, in milliseconds.
    pub age_ms: u64,
    /// Until it ends, in milliseconds; 0 when it is over.
    pub ends_in_ms: u64,
    /// It is over: what the node had claimed is settled by the others.
    pub is_over: bool,
    /// Messages sent in a second, as the node told last.
    pub sent_per_s: u32,
}

impl EngineHandle {
    /// The engines that share the store, in the order they came; those that are gone, too, until they are forgotten. Of a
    /// store in a file: this one alone.
    pub async fn nodes(&self) -> Result<Vec<NodeView>, Refusal> {
        let shared = &self.shared;
        let this = self.alone();
        match shared.lease.node() {
            Some(node) => Ok(views(shared.reader.nodes().await?, node, &this)),
            None => Ok(vec![this]),
        }
    }

    /// Whether other engines may share the store.
    pub fn is_shared(&self) -> bool {
        self.shared.lease.node().is_some()
    }

    fn alone(&self) -> NodeView {
        let definitions = self.definitions();
        let config = &definitions.config;
        // A look at the lanes lasts to the end of its statement, and there is one at a time.
        let in_flight = look(&self.shared.lanes).in_flight();
        NodeView {
            name: config.node.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            address: config.api.listen.map(|address| address.to_string()),
            started_at: self.started_at(),
            in_flight,
            draining: self.is_draining(),
            config: config.fingerprint(),
            config_differs: false,
            is_self: true,
            leads: true,
            clock_ahead_ms: Offset::of(&self.shared.lease, self.shared.clock.now()).map(|offset| offset.ahead_ms),
            lease: None,
        }
    }
}

/// The rows as they look from the engine `this`, which is `node` among them.
fn views(rows: Vec<NodeRow>, node: i64, this: &NodeView) -> Vec<NodeView> {
    let first = rows.iter().filter(|row| row.is_there()).map(|row| row.id).min();
    let view = |row: NodeRow| {
        let ms = |from: Timestamp, to: Timestamp| u64::try_from(to.0.saturating_sub(from.0)).unwrap_or(0);
        let lease = LeaseView {
            id: row.id,
            age_ms: ms(row.renewed_at, row.now),
            ends_in_ms: ms(row.now, row.lease_until),
            is_over: !row.is_there(),
            sent_per_s: row.sent_per_s,
        };
        let leads = first == Some(row.id);
        if row.id == node {
            // What the row says of this engine is as old as its lease; what it is at now is known here.
            return NodeView { started_at: row.started_at, leads, lease: Some(lease), ..this.clone() };
        }
        NodeView {
            config_differs: differs(&row, &this.config),
            name: row.name,
            version: row.version,
            address: row.address,
            started_at: row.started_at,
            in_flight: row.in_flight,
            draining: row.draining,
            config: row.config,
            is_self: false,
            leads,
            clock_ahead_ms: None,
            lease: Some(lease),
        }
    };
    rows.into_iter().map(view).collect()
}

/// Whether a node goes by another config than one with this fingerprint. One that has not told yet may go by the same.
fn differs(row: &NodeRow, config: &str) -> bool {
    row.is_there() && !row.config.is_empty() && row.config != config
}

/// Whether this engine may let go of what its config does not name: what waits for a webhook, the times of a schedule, what
/// an engine that is gone left in a channel. Another engine's config may name it, and what is let go of is gone for all.
#[derive(Debug, Clone)]
pub(crate) struct Accord(watch::Receiver<Agreed>);

/// Who else may know what this engine's config does not name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Agreed {
    /// Somebody, or that is not known yet.
    No,
    /// There is nobody else.
    Alone,
    /// Nobody: all that are there go by the config with this fingerprint.
    By(String),
}

impl Accord {
    /// At a start: whoever is alone then may let go at once, and where others are there it is to be seen what they go by.
    pub(crate) fn at_start(nodes: &[NodeRow], this: Option<i64>) -> (watch::Sender<Agreed>, Accord) {
        let is_alone = !nodes.iter().any(|row| row.is_there() && Some(row.id) != this);
        let (sender, receiver) = watch::channel(if is_alone { Agreed::Alone } else { Agreed::No });
        (sender, Accord(receiver))
    }

    /// Whether an engine that goes by this config may let go of what it does not name.
    pub(crate) fn holds_for(&self, config: &Config) -> bool {
        match &*self.0.borrow() {
            Agreed::No => false,
            Agreed::Alone => true,
            Agreed::By(fingerprint) => *fingerprint == config.fingerprint(),
        }
    }
}

impl Agreed {
    /// As it looks now. One that has not told yet may go by any config.
    fn found(nodes: &[NodeView]) -> Agreed {
        let is_there = |node: &&NodeView| !node.is_self && node.lease.is_some_and(|lease| !lease.is_over);
        let mut others = nodes.iter().filter(is_there).map(|node| &node.config).peekable();
        let this = nodes.iter().find(|node| node.is_self).map(|node| &node.config);
        match this {
            _ if others.peek().is_none() => Agreed::Alone,
            Some(this) if others.all(|other| other == this) => Agreed::By(this.clone()),
            Some(_) | None => Agreed::No,
        }
    }
}

/// What was found last, and how long after the start it began to be so; `None` if it was at the start.
#[derive(Debug)]
struct Found(Agreed, Option<Duration>);

impl Found {
    /// What is so when this was found, so long after the start: that engines agree once they have for `wait`, that they do
    /// not at once. Who was alone at the start need not wait to be sure of it.
    fn now(&mut self, agreed: Agreed, at: Duration, wait: Duration) -> Agreed {
        if self.0 != agreed {
            *self = Found(agreed, Some(at));
        }
        let is_sure = self.1.is_none_or(|since| at.saturating_sub(since) >= wait);
        if is_sure { self.0.clone() } else { Agreed::No }
    }
}

/// The task that looks by which config other engines go, and tells the log when one goes by another.
pub(crate) struct CompareConfigs {
    pub(crate) handle: EngineHandle,
    /// What this engine may let go of goes by it.
    pub(crate) agreed: watch::Sender<Agreed>,
    pub(crate) stop: watch::Receiver<bool>,
}

impl CompareConfigs {
    /// Runs until the engine stops. Of a store in a file it has nothing to do.
    pub(crate) async fn run(mut self) {
        let (mut told, mut left) = (Vec::new(), Vec::new());
        let (begun, wait) = (Instant::now(), self.handle.definitions().config.node.lease * AGREED_LEASES);
        let mut found = Found(self.agreed.borrow().clone(), None);
        while self.handle.is_shared() {
            tokio::select! {
                () = tokio::time::sleep(COMPARE_EVERY) => {}
                _ = self.stop.wait_for(|stop| *stop) => return,
            }
            match self.handle.nodes().await {
                Ok(nodes) => {
                    let agreed = found.now(Agreed::found(&nodes), begun.elapsed(), wait);
                    self.tell_left(&mut left, agreed == Agreed::No).await;
                    self.agreed.send_replace(agreed);
                    for node in begin_to_differ(&mut told, &nodes) {
                        tracing::warn!(
                            node = %node.name,
                            "another engine goes by another config than this one: what is sent, and how fast, depends on \
                             who sends it; give both the same file and reload (`tidings nodes` shows who differs)"
                        );
                    }
                }
                Err(refusal) => tracing::debug!("look by which config other engines go: {refusal}"),
            }
        }
    }
}

impl CompareConfigs {
    /// Tells the log what nobody takes over of engines that are gone, while another may know what to do with it.
    async fn tell_left(&self, told: &mut Vec<(String, u64)>, may_differ: bool) {
        if !may_differ {
            told.clear();
            return;
        }
        let known: Vec<ChannelId> = self.handle.definitions().channels.keys().copied().collect();
        match self.handle.shared.reader.orphans_left(&known).await {
            Ok(left) => {
                for (channel, count) in left.iter().filter(|of| !told.contains(of)) {
                    tracing::warn!(
                        channel,
                        count,
                        "messages were on their way in an engine that is gone, in a channel that this engine's config does not \
                         have: they are left to an engine whose config has it, as long as one may be there (`tidings nodes` \
                         shows whose differs)"
                    );
                }
                *told = left;
            }
            Err(error) => tracing::debug!("look for what nobody takes over: {error}"),
        }
    }
}

/// Those whose config differs and did not when it was looked last: each is told once, until it agrees again.
fn begin_to_differ<'n>(told: &mut Vec<i64>, nodes: &'n [NodeView]) -> Vec<&'n NodeView> {
    let id = |node: &NodeView| node.lease.map(|lease| lease.id);
    let differing: Vec<&NodeView> = nodes.iter().filter(|node| node.config_differs).collect();
    let now: Vec<i64> = differing.iter().filter_map(|node| id(node)).collect();
    let before = std::mem::replace(told, now);
    differing.into_iter().filter(|node| id(node).is_some_and(|id| !before.contains(&id))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i64, config: &str, lease_until: i64) -> NodeRow {
        NodeRow {
            id,
            name: format!("n{id}"),
            version: "1".to_owned(),
            config: config.to_owned(),
            address: None,
            started_at: Timestamp(1),
            renewed_at: Timestamp(9_000),
            lease_until: Timestamp(lease_until),
            draining: false,
            in_flight: 3,
            sent_per_s: 7,
            now: Timestamp(10_000),
        }
    }

    fn seen(rows: Vec<NodeRow>) -> Vec<NodeView> {
        let this = NodeView {
            name: "n2".to_owned(),
            version: "1".to_owned(),
            address: None,
            started_at: Timestamp(1),
            in_flight: 4,
            draining: false,
            config: "ours".to_owned(),
            config_differs: false,
            is_self: true,
            leads: true,
            clock_ahead_ms: Some(3),
            lease: None,
        };
        views(rows, 2, &this)
    }

    #[test]
    fn a_config_differs_that_was_told_by_a_node_that_is_there_and_is_not_ours() {
        let found =
            seen(vec![row(1, "other", 9_999), row(2, "old", 15_000), row(3, "ours", 15_000), row(4, "", 15_000)]);
        assert!(found.iter().all(|view| !view.config_differs), "{found:?}");
        assert!(seen(vec![row(5, "other", 10_001)])[0].config_differs);
        assert_eq!(found[1].config, "ours", "what this engine goes by is known before it is told");
    }

    #[test]
    fn engines_agree_when_each_that_is_there_has_told_the_same_config() {
        let found = |rows| Agreed::found(&seen(rows));
        let alone = vec![row(1, "other", 9_999), row(2, "old", 15_000)];
        assert_eq!(found(alone), Agreed::Alone, "who is gone goes by nothing");
        let ours = |id, config| vec![row(2, "old", 15_000), row(id, config, 15_000)];
        assert_eq!(found(ours(3, "ours")), Agreed::By("ours".to_owned()));
        assert_eq!(found(ours(3, "other")), Agreed::No);
        assert_eq!(found(ours(3, "")), Agreed::No, "it has not told yet");
    }

    #[test]
    fn that_they_agree_is_so_after_a_while_and_that_they_do_not_at_once() {
        let (wait, second) = (Duration::from_secs(4), Duration::from_secs);
        let ours = || Agreed::By("ours".to_owned());
        let mut found = Found(Agreed::No, None);
        assert_eq!(found.now(ours(), second(10), wait), Agreed::No);
        assert_eq!(found.now(ours(), second(13), wait), Agreed::No);
        assert_eq!(found.now(ours(), second(14), wait), ours());
        assert_eq!(found.now(Agreed::By("next".to_owned()), second(15), wait), Agreed::No, "since they go by another");
        assert_eq!(found.now(ours(), second(16), wait), Agreed::No);
        assert_eq!(found.now(Agreed::Alone, second(20), wait), Agreed::No, "the other may be back in a moment");
        assert_eq!(found.now(Agreed::Alone, second(24), wait), Agreed::Alone);
        assert_eq!(found.now(Agreed::No, second(25), wait), Agreed::No);
        assert_eq!(Found(Agreed::Alone, None).now(Agreed::Alone, second(0), wait), Agreed::Alone);
    }

    #[test]
    fn who_is_alone_at_the_start_may_let_go_at_once_and_who_is_not_may_not() {
        let config = crate::config::tests::plain();
        let holds = |rows: &[NodeRow], this| Accord::at_start(rows, this).1.holds_for(&config);
        assert!(holds(&[], None), "a store in a file");
        assert!(holds(&[row(1, "other", 9_999), row(2, "", 15_000)], Some(2)));
        assert!(!holds(&[row(1, &config.fingerprint(), 15_000), row(2, "", 15_000)], Some(2)));
        let agreed = |config: &str| Accord(watch::channel(Agreed::By(config.to_owned())).1);
        assert!(agreed(&config.fingerprint()).holds_for(&config) && !agreed("other").holds_for(&config));
    }

    #[test]
    fn a_node_is_told_once_until_its_config_agrees_again() {
        let differs = || seen(vec![row(1, "other", 15_000), row(2, "ours", 15_000)]);
        let mut told = Vec::new();
        assert_eq!(begin_to_differ(&mut told, &differs()).len(), 1);
        assert_eq!(begin_to_differ(&mut told, &differs()).len(), 0);
        assert_eq!(begin_to_differ(&mut told, &seen(vec![row(1, "ours", 15_000)])).len(), 0);
        assert_eq!(begin_to_differ(&mut told, &differs()).len(), 1);
    }

    #[test]
    fn the_first_that_is_there_leads_and_one_whose_lease_is_over_is_gone() {
        let found = seen(vec![row(1, "ours", 10_000), row(2, "ours", 15_000), row(3, "ours", 15_000)]);
        let leads: Vec<bool> = found.iter().map(|view| view.leads).collect();
        let over: Vec<bool> = found.iter().map(|view| view.lease.unwrap().is_over).collect();
        assert_eq!((leads, over), (vec![false, true, false], vec![true, false, false]));
        let lease = found[1].lease.unwrap();
        assert_eq!((lease.age_ms, lease.ends_in_ms, lease.sent_per_s), (1_000, 5_000, 7));
        assert_eq!(found[0].lease.unwrap().ends_in_ms, 0);
        assert_eq!(found.iter().map(|view| view.is_self).collect::<Vec<_>>(), [false, true, false]);
    }
}
