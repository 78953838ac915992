//! The engines that share a store, as an operator looks at them.

use std::time::Duration;

use tidings_model::Timestamp;
use tidings_store::NodeRow;
use tokio::sync::watch;

use crate::handle::EngineHandle;
use crate::refusal::Refusal;
use crate::writer::look;

/// Between two looks whether others go by the same config.
const COMPARE_EVERY: Duration = Duration::from_secs(2);

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
            lease: Some(lease),
        }
    };
    rows.into_iter().map(view).collect()
}

/// Whether a node goes by another config than one with this fingerprint. One that has not told yet may go by the same.
fn differs(row: &NodeRow, config: &str) -> bool {
    row.is_there() && !row.config.is_empty() && row.config != config
}

/// The task that tells the log when another engine goes by another config.
pub(crate) struct CompareConfigs {
    pub(crate) handle: EngineHandle,
    pub(crate) stop: watch::Receiver<bool>,
}

impl CompareConfigs {
    /// Runs until the engine stops. Of a store in a file it has nothing to do.
    pub(crate) async fn run(mut self) {
        let mut told = Vec::new();
        while self.handle.is_shared() {
            tokio::select! {
                () = tokio::time::sleep(COMPARE_EVERY) => {}
                _ = self.stop.wait_for(|stop| *stop) => return,
            }
            match self.handle.nodes().await {
                Ok(nodes) => {
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
