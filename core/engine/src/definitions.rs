//! What config defines, as the engine runs by it: read together, looked at together, replaced together.
//!
//! Whoever begins something takes the definitions as they are and ends it by them, also when a reload replaces them
//! meanwhile.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tidings_model::{AppName, ChannelName, Clock, TemplateName};
use tidings_store::{ChannelId, Ids, StoreError, TemplateId, TokenRow, Writer};
use tokio::sync::watch;

use crate::admit::Admission;
use crate::config::{ChannelConfig, Config, TemplateConfig};
use crate::events::Names;
use crate::http::Http;
use crate::telemetry::Telemetry;
use crate::token::Keeper;
use crate::writer::WriterHandle;

/// Where the present definitions are: a look, or news of others.
pub(crate) type Present = watch::Receiver<Arc<Definitions>>;

/// Everything that config defines, by the numbers that the store knows it by.
pub(crate) struct Definitions {
    pub(crate) config: Arc<Config>,
    pub(crate) admission: Admission,
    /// The keepers of tokens, by app.
    pub(crate) keepers: HashMap<AppName, Arc<Keeper>>,
    pub(crate) channels: HashMap<ChannelId, (ChannelName, Arc<ChannelConfig>)>,
    templates: HashMap<TemplateId, TemplateName>,
    /// What the numbers are called, for whoever is told.
    pub(crate) names: Names,
    /// Channels with a source that mints.
    pub(crate) minting: BTreeSet<ChannelId>,
}

impl std::fmt::Debug for Definitions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Definitions").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The present definitions.
pub(crate) fn present(current: &Present) -> Arc<Definitions> {
    Arc::clone(&current.borrow())
}

impl Definitions {
    pub(crate) fn new(config: Arc<Config>, ids: Ids, keepers: HashMap<AppName, Arc<Keeper>>) -> Definitions {
        let channels: HashMap<_, _> = config
            .channels
            .iter()
            .map(|(name, channel)| (ids.channels[name], (name.clone(), Arc::clone(channel))))
            .collect();
        let minting = channels.iter().filter(|(_, (_, channel))| channel.mints()).map(|(id, _)| *id).collect();
        let names = Names {
            channels: ids.channels.iter().map(|(name, id)| (*id, Arc::from(name.as_str()))).collect(),
            templates: ids.templates.iter().map(|(name, id)| (*id, Arc::from(name.as_str()))).collect(),
        };
        let templates = ids.templates.iter().map(|(name, id)| (*id, name.clone())).collect();
        let admission = Admission { config: Arc::clone(&config), channels: ids.channels, templates: ids.templates };
        Definitions { config, admission, keepers, channels, templates, names, minting }
    }

    /// A template's name by its number.
    pub(crate) fn template_name(&self, id: TemplateId) -> Option<&TemplateName> {
        self.templates.get(&id)
    }

    /// A channel by its number.
    pub(crate) fn channel(&self, id: ChannelId) -> Option<&Arc<ChannelConfig>> {
        self.channels.get(&id).map(|(_, channel)| channel)
    }

    /// What the provider calls the templates of that channel.
    pub(crate) fn scopes_of(&self, channel: &ChannelName) -> Vec<(TemplateId, String)> {
        let of_it = self.config.templates.iter().filter(|(_, template)| template.channel == *channel);
        of_it.map(|(name, template)| (self.admission.templates[name], template.scope.clone())).collect()
    }

    /// A template by its number.
    pub(crate) fn template(&self, id: TemplateId) -> Option<&TemplateConfig> {
        self.config.templates.get(self.templates.get(&id)?)
    }
}

/// The numbers by which the store knows what config names; new names get theirs here.
pub(crate) async fn number(store: &mut Writer, config: &Config) -> Result<Ids, StoreError> {
    let channels: Vec<_> = config.channels.iter().map(|(name, channel)| (name.clone(), channel.app.clone())).collect();
    let templates: Vec<_> = config.templates.keys().cloned().collect();
    store.define(channels, templates).await
}

/// The keepers of a config's tokens. A keeper of the definitions before goes on where its app's settings are the same;
/// another begins with the token that is known, if it was fetched for the same account.
pub(crate) fn keepers(
    config: &Config,
    before: Option<&Definitions>,
    mut tokens: HashMap<AppName, TokenRow>,
    http: &Http,
    writer: &WriterHandle,
    telemetry: &Telemetry,
    clock: &Arc<dyn Clock>,
) -> HashMap<AppName, Arc<Keeper>> {
    let mut keepers = HashMap::new();
    for channel in config.channels.values() {
        let (Some(provider), Some(app)) = (&channel.token, config.apps.get(&channel.app)) else { continue };
        if keepers.contains_key(&channel.app) {
            continue;
        }
        let old = before.and_then(|before| before.keepers.get(&channel.app));
        let same = before
            .is_some_and(|before| before.config.token_settings(&channel.app) == config.token_settings(&channel.app));
        let keeper = match old {
            Some(keeper) if same => Arc::clone(keeper),
            _ => Arc::new(Keeper::new(
                channel.app.clone(),
                app,
                provider.clone(),
                old.map(|keeper| keeper.look().0).or_else(|| tokens.remove(&channel.app)),
                http.clone(),
                writer.clone(),
                telemetry.clone(),
                Arc::clone(clock),
            )),
        };
        keepers.insert(channel.app.clone(), keeper);
    }
    keepers
}
