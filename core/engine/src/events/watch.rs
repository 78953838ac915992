//! What changes by itself, without a transaction of its own: a channel whose wait is over, a plugin that was parked.
//! Somebody looks once a second, and tells the writer what is different.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidings_model::{Clock, Timestamp};
use tokio::sync::watch;

use super::{Besides, EventKind, Name, What};
use crate::definitions::{Present, present};
use crate::lanes::Lanes;
use crate::writer::{SharedLanes, WriterHandle, look};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The task.
pub(crate) struct Watch {
    pub(crate) present: Present,
    pub(crate) lanes: SharedLanes,
    pub(crate) writer: WriterHandle,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stop: watch::Receiver<bool>,
}

/// What was seen.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Channels that wait because their provider asked for it.
    closed: Vec<Name>,
    /// Plugins that may not go on, and why.
    parked: BTreeMap<String, String>,
}

impl Watch {
    /// Runs until the engine stops.
    pub(crate) async fn run(mut self) {
        // A plugin that was not there at the start was told then.
        let mut before = self.look();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = self.stop.wait_for(|stop| *stop) => return,
            }
            let now = self.look();
            let different = between(&before, &now);
            if !different.is_empty() {
                self.writer.tell(different).await;
            }
            before = now;
        }
    }

    fn look(&self) -> Seen {
        let closed = closed(&look(&self.lanes), self.clock.now());
        Seen { closed, parked: present(&self.present).config.plugins.parked() }
    }
}

fn closed(lanes: &Lanes, now: Timestamp) -> Vec<Name> {
    let waits = lanes.lanes.values().filter(|lane| lane.state.closed.as_ref().is_some_and(|(until, _)| now < *until));
    waits.map(|lane| Arc::from(lane.name.as_str())).collect()
}

/// What is different now.
fn between(before: &Seen, now: &Seen) -> Vec<Besides> {
    let opened = before.closed.iter().filter(|name| !now.closed.contains(name)).map(|name| {
        let what = What::Channel { channel: Arc::clone(name), until: None, reason: String::new() };
        (EventKind::ChannelOpened, what)
    });
    let parked = now.parked.iter().filter(|(name, _)| !before.parked.contains_key(*name)).map(|(name, reason)| {
        let what = What::Plugin { plugin: Arc::from(name.as_str()), reason: reason.clone() };
        (EventKind::PluginParked, what)
    });
    opened.chain(parked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_different_is_told_once_and_what_is_not_is_not() {
        let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect();
        let parked = |plugin: &str| BTreeMap::from([(plugin.to_owned(), "it panicked".to_owned())]);
        let before = Seen { closed: names(&["orders", "news"]), parked: parked("acme") };
        let now = Seen { closed: names(&["news", "alerts"]), parked: parked("quota") };
        let told: Vec<String> = between(&before, &now).iter().map(|(kind, what)| format!("{kind} {what:?}")).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("channel.opened") && told[0].contains("orders"), "{told:?}");
        assert!(told[1].starts_with("plugin.parked") && told[1].contains("quota"), "{told:?}");
        assert!(between(&now, &now).is_empty());
    }
}
