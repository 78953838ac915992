//! Reading config again while the engine runs: all of it or none, and what differs is told.

use std::fmt;
use std::sync::Arc;

use tidings_model::limits::DETAIL_BYTES_MAX;
use tidings_store::AuditEntry;

use crate::acts::By;
use crate::config::{Config, Problem};
use crate::engine::tell_forgotten;
use crate::events::{EventKind, What, cut};
use crate::handle::EngineHandle;
use crate::refusal::{Class, Refusal};
use crate::registry::Registry;

/// Where the store is.
const STORE_URL: &str = "store.url";

/// Settings that are read once, at the start: these and all below them.
const FROM_THE_START: [&str; 7] = [STORE_URL, "store.node", "store.lease", "api", "engine", "log", "telemetry"];

/// And what is below them and can change all the same: keys of callers.
const AT_ANY_TIME: [&str; 2] = ["api.key", "api.keys"];

/// Mistakes that a refusal names.
const PROBLEMS_TOLD_MAX: usize = 20;

/// What stands for the settings that an entry has no room for.
const MORE: &str = ", …";

/// Reads the config once more from where it came. The registry has the plugins that are loaded: a file that is one of
/// them is not loaded again. With `look`, nothing is made that is not there.
type ReadConfig = dyn Fn(&Registry, Look) -> Result<Config, Vec<Problem>> + Send + Sync;

/// Whether a config is read to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// To be used: a key that is not there may be made.
    ToUse,
    /// Only to say what would be.
    Only,
}

/// Where a config came from, to be read again.
#[derive(Clone)]
pub struct ConfigOrigin(Arc<ReadConfig>);

impl ConfigOrigin {
    /// It is read again by that function, which may block.
    pub fn new(read: impl Fn(&Registry, Look) -> Result<Config, Vec<Problem>> + Send + Sync + 'static) -> ConfigOrigin {
        ConfigOrigin(Arc::new(read))
    }
}

impl fmt::Debug for ConfigOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConfigOrigin")
    }
}

/// One setting that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingChange {
    /// Its path, as in `channels.order-updates.rate`.
    pub setting: String,
    /// How it was written; `None` if it was not there.
    pub before: Option<String>,
    /// How it is written; `None` if it is gone.
    pub after: Option<String>,
}

impl fmt::Display for SettingChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        write!(f, "{}: {} → {}", self.setting, shown(&self.before), shown(&self.after))
    }
}

/// What a reload found and did.
#[derive(Debug, Clone)]
pub struct Reloaded {
    /// What differs, by path. Empty if nothing does.
    pub changes: Vec<SettingChange>,
    /// What is no mistake and still worth a sentence.
    pub notes: Vec<String>,
    /// Whether the engine goes on by the config that was read.
    pub applied: bool,
}

impl EngineHandle {
    /// Reads config again and goes on by it: all of it or, if anything is wrong, none. What is on its way ends by the
    /// config it began with.
    ///
    /// # Errors
    ///
    /// The config has mistakes, or differs where only a start helps, or the store does not take it now. Nothing changed.
    pub async fn reload(&self, look: Look, by: &By) -> Result<Reloaded, Refusal> {
        let done = self.read_again(look, by).await;
        let told = match &done {
            Ok(Reloaded { applied: true, changes, .. }) => {
                Some((EventKind::ConfigReloaded, What::Config { changes: listed(changes), reason: String::new() }))
            }
            Err(refusal) if look != Look::Only => {
                let reason = cut(refusal.detail.clone());
                Some((EventKind::ConfigRefused, What::Config { changes: String::new(), reason }))
            }
            Ok(_) | Err(_) => None,
        };
        if let Some(told) = told {
            self.shared.writer.tell(vec![told]).await;
        }
        done
    }

    async fn read_again(&self, look: Look, by: &By) -> Result<Reloaded, Refusal> {
        let _one_at_a_time = self.shared.reloading.lock().await;
        let before = Arc::clone(&self.definitions().config);
        let Some(origin) = before.origin.clone() else {
            return Err(Refusal::new(
                Class::Conflict,
                "config-fixed",
                "this engine was started without a config file to read again",
            ));
        };
        let plugins = before.plugins.clone();
        let read = tokio::task::spawn_blocking({
            let origin = origin.clone();
            move || (origin.0)(&plugins, look)
        });
        let config = read
            .await
            .map_err(|error| Refusal::invalid("config-invalid", format!("reading the config broke down: {error}")))?
            .map_err(|problems| mistaken(&problems))?;
        let changes = differences(&before, &config);
        only_at_a_start(&before, &config, &changes)?;
        let config = Config { origin: Some(origin), ..config };
        let notes = config.notes.clone();
        if look == Look::Only || changes.is_empty() {
            return Ok(Reloaded { changes, notes, applied: false });
        }
        let entry = AuditEntry { detail: Some(listed(&changes)), ..by.entry("config.reload", "config") };
        self.shared.writer.redefine(config, entry).await?;
        if let Err(error) = tell_forgotten(&self.definitions().config, &self.shared.reader).await {
            tracing::warn!("look for messages of channels that are gone: {error}");
        }
        Ok(Reloaded { changes, notes, applied: true })
    }
}

/// The settings that differ, without their values, as far as an entry of the record has room.
fn listed(changes: &[SettingChange]) -> String {
    let mut list = String::new();
    for change in changes {
        let comma = if list.is_empty() { "" } else { ", " };
        if list.len() + comma.len() + change.setting.len() > DETAIL_BYTES_MAX - MORE.len() {
            list.push_str(MORE);
            break;
        }
        list.push_str(comma);
        list.push_str(&change.setting);
    }
    list
}

fn mistaken(problems: &[Problem]) -> Refusal {
    let mut lines: Vec<String> = problems.iter().take(PROBLEMS_TOLD_MAX).map(ToString::to_string).collect();
    let more = problems.len().saturating_sub(PROBLEMS_TOLD_MAX);
    if more > 0 {
        lines.push(format!("and {more} more; `tidings check` says all"));
    }
    Refusal::invalid("config-invalid", format!("the config has mistakes, and nothing changed:\n{}", lines.join("\n")))
}

/// What differs between two configs: what is written, and secrets that are written alike and have another value.
fn differences(before: &Config, after: &Config) -> Vec<SettingChange> {
    let paths: std::collections::BTreeSet<&String> = before.settings.keys().chain(after.settings.keys()).collect();
    let written = paths.into_iter().filter_map(|path| {
        let (was, is) = (before.settings.get(path), after.settings.get(path));
        (was != is).then(|| SettingChange { setting: path.clone(), before: was.cloned(), after: is.cloned() })
    });
    let mut changes: Vec<SettingChange> = written.collect();
    let is_written = changes.iter().any(|change| is_under(&change.setting, STORE_URL));
    if before.store != after.store && !is_written {
        let value = |text: &str| Some(text.to_owned());
        let (before, after) = (value("an address"), value("another address"));
        changes.push(SettingChange { setting: STORE_URL.to_owned(), before, after });
    }
    for (name, app) in &after.apps {
        let path = format!("apps.{name}");
        let is_written = changes.iter().any(|change| is_under(&change.setting, &path));
        let other = before.apps.get(name).is_some_and(|before| before.fingerprint != app.fingerprint);
        if other && !is_written {
            let value = |text: &str| Some(text.to_owned());
            changes.push(SettingChange { setting: path, before: value("a secret"), after: value("another secret") });
        }
    }
    for key in &after.api.keys {
        let path = key.setting();
        let is_written = changes.iter().any(|change| is_under(&change.setting, &path));
        let mut same_name = before.api.keys.iter().filter(|before| before.holder.name == key.holder.name);
        if !is_written && same_name.any(|before| before.hash != key.hash) {
            let value = |text: &str| Some(text.to_owned());
            changes.push(SettingChange { setting: path, before: value("a key"), after: value("another key") });
        }
    }
    for (name, webhook) in &after.webhooks {
        let path = format!("webhooks.{name}");
        let is_written = changes.iter().any(|change| is_under(&change.setting, &path));
        let other = before.webhooks.get(name).is_some_and(|before| before.differs(webhook));
        if other && !is_written {
            let value = |text: &str| Some(text.to_owned());
            changes.push(SettingChange { setting: path, before: value("a secret"), after: value("another secret") });
        }
    }
    changes
}

fn is_under(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Refuses what cannot change while the engine runs.
fn only_at_a_start(before: &Config, after: &Config, changes: &[SettingChange]) -> Result<(), Refusal> {
    let below = |change: &SettingChange, paths: &[&str]| paths.iter().any(|path| is_under(&change.setting, path));
    let fixed = changes.iter().find(|change| below(change, &FROM_THE_START) && !below(change, &AT_ANY_TIME));
    if let Some(change) = fixed {
        let detail = format!(
            "`{}` is read at a start alone, and nothing changed; put it back, or stop the engine and start it again",
            change.setting
        );
        return Err(Refusal::new(Class::Conflict, "needs-restart", detail));
    }
    for (plugin, sha256) in before.plugins.files() {
        let same = after.plugins.identity(&plugin).is_none_or(|now| now == sha256);
        let named = after.plugins.plugin_names().contains(&plugin.as_str());
        if named && (!same || after.plugins.absent(&plugin).is_some()) {
            let detail = format!(
                "the file of plugin `{plugin}` is not the one that is loaded, which is never unloaded; nothing changed; \
                 put it back, or stop the engine and start it again"
            );
            return Err(Refusal::new(Class::Conflict, "needs-restart", detail));
        }
    }
    Ok(())
}
