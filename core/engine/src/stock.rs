//! Permits that run low: the free ones of a channel's sources carry fewer messages than config wants. Told once for each
//! fall, and again after there were enough meanwhile.
//!
//! Nothing counts permits on their way in and out: somebody looks every few seconds at the forecast that everybody is
//! answered with, whose walks through the ledger are bounded, and only where config has a bound.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tidings_model::{AppName, ChannelName};
use tokio::sync::watch;

use crate::config::{ChannelConfig, Config};
use crate::events::{Besides, EventKind, What};
use crate::handle::EngineHandle;
use crate::reach::Forecasts;
use crate::refusal::Refusal;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The task.
pub(crate) struct StockWatch {
    pub(crate) handle: EngineHandle,
    pub(crate) stop: watch::Receiver<bool>,
}

/// A channel whose permits are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Standing {
    channel: ChannelName,
    app: AppName,
    /// Messages that the free permits carry.
    count: u64,
    /// Fewer are too few.
    bound: u32,
}

impl StockWatch {
    /// Runs until the engine stops. Whoever is short at the start is told then: what was told before is not remembered.
    pub(crate) async fn run(mut self) {
        let mut short = BTreeSet::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = self.stop.wait_for(|stop| *stop) => return,
            }
            match self.look().await {
                Ok(standing) => {
                    let fallen = fallen(&mut short, standing);
                    if !fallen.is_empty() {
                        self.handle.shared.writer.tell(fallen).await;
                    }
                }
                Err(refusal) => tracing::debug!("count permits: {refusal}"),
            }
        }
    }

    async fn look(&self) -> Result<Vec<Standing>, Refusal> {
        let config = Arc::clone(&self.handle.definitions().config);
        if config.channels.values().all(|channel| channel.credential_low.is_none()) {
            return Ok(Vec::new());
        }
        Ok(standing(&config, &*self.handle.forecasts().await?))
    }
}

fn standing(config: &Config, forecasts: &Forecasts) -> Vec<Standing> {
    let uses = |channel: &ChannelConfig| {
        let of_source = |stage: &crate::config::CredentialStage| {
            forecasts.stock.get(&(channel.app.to_string(), stage.name.to_string())).map_or(0, |stock| stock.uses)
        };
        channel.credentials.iter().map(of_source).sum()
    };
    let counted = config.channels.iter().filter_map(|(name, channel)| {
        let bound = channel.credential_low?;
        Some(Standing { channel: name.clone(), app: channel.app.clone(), count: uses(channel), bound })
    });
    counted.collect()
}

/// Those that are short and were not before. `short` are those that were, and then are.
fn fallen(short: &mut BTreeSet<ChannelName>, standing: Vec<Standing>) -> Vec<Besides> {
    let before = std::mem::take(short);
    let mut fallen = Vec::new();
    for Standing { channel, app, count, bound } in standing.into_iter().filter(|it| it.count < u64::from(it.bound)) {
        if !before.contains(&channel) {
            let (channel, app) = (Arc::from(channel.as_str()), Arc::from(app.as_str()));
            fallen.push((EventKind::CredentialLow, What::CredentialsLow { channel, app, count, bound }));
        }
        short.insert(channel);
    }
    fallen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_told_once_for_each_fall_below_its_bound() {
        let mut short = BTreeSet::new();
        let mut told = |counts: &[(&str, u64)]| {
            let standing = counts.iter().map(|(channel, count)| Standing {
                channel: ChannelName::new(*channel).unwrap(),
                app: AppName::new("shop").unwrap(),
                count: *count,
                bound: 3,
            });
            let fallen = fallen(&mut short, standing.collect());
            let name = |(kind, what): &Besides| {
                let What::CredentialsLow { channel, count, bound: 3, .. } = what else { panic!("{what:?}") };
                assert_eq!(*kind, EventKind::CredentialLow);
                format!("{channel} {count}")
            };
            fallen.iter().map(name).collect::<Vec<String>>()
        };
        assert!(told(&[("orders", 3), ("news", 4)]).is_empty());
        assert_eq!(told(&[("orders", 2), ("news", 4)]), ["orders 2"]);
        assert!(told(&[("orders", 0), ("news", 3)]).is_empty());
        assert_eq!(told(&[("orders", 3), ("news", 0)]), ["news 0"]);
        assert_eq!(told(&[("orders", 1), ("news", 1)]), ["orders 1"]);
        // A bound that is gone and comes back is a new one.
        assert!(told(&[("orders", 1)]).is_empty());
        assert_eq!(told(&[("orders", 1), ("news", 1)]), ["news 1"]);
    }
}
