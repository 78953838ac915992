//! The plugins there are, and the stages they offer, by the name config uses: `wechat.form_id`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use tidings_host::{Counters, Loaded, OpenError, PluginState};
use tidings_sdk::{
    App, Callback, CredentialSource, Description, HttpTransport, Plugin, Role, Setting, StageDescription,
    TokenProvider, Violation,
};

use crate::config::no_such;
use crate::stages::{
    ABSENT_SOURCE, CallbackStage, RendererStage, SourceStage, SourceWay, TokenStage, TransportStage, TransportWay,
};

/// Every plugin there is. Cheap to clone.
#[derive(Clone, Default)]
pub struct Registry {
    plugins: BTreeMap<String, Entry>,
}

/// A plugin, wherever it is.
#[derive(Clone)]
enum Entry {
    Linked(Arc<Linked>),
    File(Arc<Loaded>),
    /// Config names it, and it could not be loaded: why.
    Absent(Arc<str>),
}

/// A plugin that is linked in.
struct Linked {
    description: Description,
    token_providers: BTreeMap<&'static str, Arc<dyn TokenProvider>>,
    credential_sources: BTreeMap<&'static str, Arc<dyn CredentialSource>>,
    http_transports: BTreeMap<&'static str, Arc<dyn HttpTransport>>,
    callbacks: BTreeMap<&'static str, Arc<dyn Callback>>,
    check_app: fn(&App) -> Vec<Violation>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.plugins.keys()).finish()
    }
}

/// A plugin, for people.
#[derive(Debug, Clone)]
pub struct PluginView {
    /// Its name.
    pub name: String,
    /// Its version; `None` where it is not there.
    pub version: Option<&'static str>,
    /// What it offers: role and stage.
    pub stages: Vec<(&'static str, String)>,
    /// Its file and what the host counted, where it is in one.
    pub file: Option<PluginFileView>,
    /// Why it is not there or may not go on, if so.
    pub trouble: Option<String>,
}

/// The file of a plugin that was loaded.
#[derive(Debug, Clone)]
pub struct PluginFileView {
    /// Where it was when it was loaded.
    pub path: PathBuf,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// What it did that it should not have done, since the start.
    pub counters: Counters,
}

/// What a stage that config names does: which list of stages it is looked for in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    TokenProvider,
    CredentialSource,
    Renderer,
    Transport,
}

impl Kind {
    fn is(self, role: &Role) -> bool {
        match self {
            Kind::TokenProvider => matches!(role, Role::TokenProvider { .. }),
            Kind::CredentialSource => matches!(role, Role::CredentialSource(_)),
            Kind::Renderer => matches!(role, Role::Renderer),
            Kind::Transport => matches!(role, Role::HttpTransport(_) | Role::Transport(_)),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::TokenProvider => "token provider",
            Kind::CredentialSource => "credential source",
            Kind::Renderer => "renderer",
            Kind::Transport => "transport",
        }
    }
}

/// A stage that config names, not yet bound to an app.
pub(crate) struct Offer<'a> {
    name: &'a str,
    plugin: &'a str,
    entry: Entry,
    /// `None` where the plugin is not there.
    stage: Option<StageDescription>,
}

impl Registry {
    /// The plugins that are linked in.
    ///
    /// # Panics
    ///
    /// One of them offers a role that is only carried from a file: the program was put together wrongly.
    pub fn new(plugins: impl IntoIterator<Item = Plugin>) -> Registry {
        let mut registry = Registry::default();
        for plugin in plugins {
            let description = Description::of(&plugin);
            let Plugin { name, token_providers, credential_sources, renderers, http_transports, callbacks, .. } =
                plugin;
            assert!(
                renderers.is_empty() && plugin.transports.is_empty(),
                "`{name}` is linked in, and offers a role that is carried from files only"
            );
            let linked = Linked {
                description,
                token_providers: token_providers.into_iter().map(|(name, stage)| (name, Arc::from(stage))).collect(),
                credential_sources: credential_sources
                    .into_iter()
                    .map(|(name, stage)| (name, Arc::from(stage)))
                    .collect(),
                http_transports: http_transports.into_iter().map(|(name, stage)| (name, Arc::from(stage))).collect(),
                callbacks: callbacks.into_iter().map(|(name, stage)| (name, Arc::from(stage))).collect(),
                check_app: plugin.check_app,
            };
            registry.plugins.insert(name.to_owned(), Entry::Linked(Arc::new(linked)));
        }
        registry
    }

    /// Takes note of a plugin that was loaded from a file.
    pub(crate) fn add_file(&mut self, plugin: Arc<Loaded>) {
        self.plugins.insert(plugin.description().name.to_owned(), Entry::File(plugin));
    }

    /// Takes note of a plugin that could not be loaded.
    pub(crate) fn add_absent(&mut self, name: &str, reason: &str) {
        self.plugins.insert(name.to_owned(), Entry::Absent(reason.into()));
    }

    /// The names of the plugins, for lists and hints.
    pub fn plugin_names(&self) -> Vec<&str> {
        self.plugins.keys().map(String::as_str).collect()
    }

    /// The plugins, for people.
    pub fn views(&self) -> Vec<PluginView> {
        self.plugins
            .iter()
            .map(|(name, entry)| {
                let description = entry.description();
                let stages = description.map_or(&[][..], |description| &description.stages);
                let (file, trouble) = match entry {
                    Entry::Linked(_) => (None, None),
                    Entry::File(plugin) => {
                        let trouble = parked(plugin);
                        let (path, sha256) = (plugin.inspected().path.clone(), plugin.inspected().sha256.clone());
                        (Some(PluginFileView { path, sha256, counters: plugin.counters() }), trouble)
                    }
                    Entry::Absent(reason) => (None, Some(reason.to_string())),
                };
                PluginView {
                    name: name.clone(),
                    version: description.map(|description| description.version),
                    stages: stages.iter().map(|it| (it.role.name(), format!("{name}.{}", it.name))).collect(),
                    file,
                    trouble,
                }
            })
            .collect()
    }

    /// The plugins in files: name and SHA-256.
    pub(crate) fn files(&self) -> Vec<(String, String)> {
        let names = self.plugins.keys();
        names.filter_map(|name| Some((name.clone(), self.identity(name)?))).collect()
    }

    /// The plugin of that file, if it is loaded.
    pub fn loaded(&self, sha256: &str) -> Option<Arc<Loaded>> {
        self.plugins.values().find_map(|entry| match entry {
            Entry::File(plugin) if plugin.inspected().sha256 == sha256 => Some(Arc::clone(plugin)),
            _ => None,
        })
    }

    /// Whether a plugin of that name is loaded from a file.
    pub fn is_file(&self, plugin: &str) -> bool {
        self.identity(plugin).is_some()
    }

    /// What tells a plugin from another of its name: the SHA-256 of its file. `None` for one that is linked in, or not
    /// there.
    pub(crate) fn identity(&self, plugin: &str) -> Option<String> {
        match self.plugins.get(plugin)? {
            Entry::File(plugin) => Some(plugin.inspected().sha256.clone()),
            Entry::Linked(_) | Entry::Absent(_) => None,
        }
    }

    /// The plugins that may not go on any more, and why.
    pub(crate) fn parked(&self) -> BTreeMap<String, String> {
        let reason = |entry: &Entry| match entry {
            Entry::File(plugin) => parked(plugin),
            Entry::Linked(_) | Entry::Absent(_) => None,
        };
        self.plugins.iter().filter_map(|(name, entry)| Some((name.clone(), reason(entry)?))).collect()
    }

    /// Why a plugin is not there, if it is named and could not be loaded.
    pub(crate) fn absent(&self, plugin: &str) -> Option<Arc<str>> {
        match self.plugins.get(plugin)? {
            Entry::Absent(reason) => Some(Arc::clone(reason)),
            Entry::Linked(_) | Entry::File(_) => None,
        }
    }

    /// What an app of that plugin is configured with.
    pub(crate) fn app_settings(&self, plugin: &str) -> &'static [Setting] {
        self.plugins.get(plugin).and_then(Entry::description).map_or(&[], |description| description.app_settings)
    }

    /// What is wrong with an app whose settings are each right.
    pub(crate) fn check_app(&self, plugin: &str, app: &App) -> Vec<Violation> {
        match self.plugins.get(plugin) {
            Some(Entry::Linked(linked)) => (linked.check_app)(app),
            // A plugin from a file says so when a stage of it is opened.
            Some(Entry::File(_) | Entry::Absent(_)) | None => Vec::new(),
        }
    }

    /// The reader of what is pushed to an app of that plugin: the first it offers. `None` if it offers none.
    ///
    /// # Errors
    ///
    /// What is wrong with the app's settings, by a plugin from a file.
    pub(crate) fn callback(&self, plugin: &str, app: &Arc<App>) -> Result<Option<CallbackStage>, Vec<Violation>> {
        let Some(entry) = self.plugins.get(plugin) else { return Ok(None) };
        let stages = entry.description().map_or(&[][..], |description| &description.stages);
        let Some(name) = stages.iter().find(|stage| matches!(stage.role, Role::Callback)).map(|stage| stage.name)
        else {
            return Ok(None);
        };
        Ok(Some(match entry {
            Entry::Linked(linked) => CallbackStage::linked(Arc::clone(app), Arc::clone(&linked.callbacks[name])),
            Entry::File(plugin) => match plugin.open_callback(name, app) {
                Ok(stage) => CallbackStage::file(Arc::clone(app), stage),
                Err(error) => CallbackStage::absent(Arc::clone(app), troubled(error)?),
            },
            Entry::Absent(reason) => CallbackStage::absent(Arc::clone(app), Arc::clone(reason)),
        }))
    }

    /// The stage of that full name, or a sentence that says why there is none.
    pub(crate) fn find<'a>(&self, kind: Kind, name: &'a str) -> Result<Offer<'a>, String> {
        let unknown = || {
            let known: Vec<String> = self.names(kind);
            no_such(kind.name(), name, &known.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let (plugin, stage) = name.split_once('.').ok_or_else(unknown)?;
        let entry = self.plugins.get(plugin).ok_or_else(unknown)?.clone();
        let stage = match entry.description() {
            None => None,
            Some(description) => {
                let is_it = |it: &&StageDescription| it.name == stage && kind.is(&it.role);
                Some(*description.stages.iter().find(is_it).ok_or_else(unknown)?)
            }
        };
        Ok(Offer { name, plugin, entry, stage })
    }

    fn names(&self, kind: Kind) -> Vec<String> {
        let mut names = Vec::new();
        for (plugin, entry) in &self.plugins {
            let stages = entry.description().map_or(&[][..], |description| &description.stages);
            names.extend(
                stages.iter().filter(|stage| kind.is(&stage.role)).map(|stage| format!("{plugin}.{}", stage.name)),
            );
        }
        names
    }
}

/// Why the plugin may not go on, if it may not.
fn parked(plugin: &Loaded) -> Option<String> {
    match plugin.state() {
        PluginState::Working => None,
        PluginState::Parked { reason } => Some(reason),
    }
}

impl Entry {
    fn description(&self) -> Option<&Description> {
        match self {
            Entry::Linked(linked) => Some(&linked.description),
            Entry::File(plugin) => Some(plugin.description()),
            Entry::Absent(_) => None,
        }
    }
}

impl Offer<'_> {
    /// The plugin it is of.
    pub(crate) fn plugin(&self) -> &str {
        self.plugin
    }

    /// As a transport of that app.
    pub(crate) fn transport(&self, app: &Arc<App>) -> Result<TransportStage, Vec<Violation>> {
        let (rules, way) = match (&self.entry, &self.stage) {
            (Entry::Linked(linked), Some(StageDescription { name, role: Role::HttpTransport(rules) })) => {
                (*rules, TransportWay::Linked(Arc::clone(&linked.http_transports[name])))
            }
            (Entry::File(plugin), Some(StageDescription { name, role: Role::HttpTransport(rules) })) => {
                match plugin.open_http_transport(name, app) {
                    Ok(stage) => (*rules, TransportWay::Http(Arc::clone(plugin), stage)),
                    Err(error) => (*rules, TransportWay::Absent(troubled(error)?)),
                }
            }
            (Entry::File(plugin), Some(StageDescription { name, role: Role::Transport(rules) })) => {
                match plugin.open_transport(name, app) {
                    Ok(stage) => (*rules, TransportWay::Own(Arc::clone(plugin), stage)),
                    Err(error) => (*rules, TransportWay::Absent(troubled(error)?)),
                }
            }
            (Entry::Absent(reason), _) => (Default::default(), TransportWay::Absent(Arc::clone(reason))),
            _ => return Err(vec![self.impossible()]),
        };
        Ok(TransportStage::new(self.name.to_owned(), rules, Arc::clone(app), way))
    }

    /// As the token provider of that app.
    pub(crate) fn token_provider(&self, app: &Arc<App>) -> Result<TokenStage, Vec<Violation>> {
        match (&self.entry, &self.stage) {
            (Entry::Linked(linked), Some(stage)) => {
                Ok(TokenStage::linked(Arc::clone(app), Arc::clone(&linked.token_providers[stage.name])))
            }
            (Entry::File(plugin), Some(StageDescription { name, role: Role::TokenProvider { day_offset } })) => {
                let stage = match plugin.open_token_provider(name, app) {
                    Ok(stage) => stage,
                    Err(error) => return Ok(TokenStage::absent(Arc::clone(app), troubled(error)?)),
                };
                let opened = TokenStage::file(Arc::clone(app), *day_offset, Arc::clone(plugin), stage);
                Ok(opened.unwrap_or_else(|error| TokenStage::absent(Arc::clone(app), error.to_string().into())))
            }
            (Entry::Absent(reason), _) => Ok(TokenStage::absent(Arc::clone(app), Arc::clone(reason))),
            _ => Err(vec![self.impossible()]),
        }
    }

    /// As a credential source with the settings of that app.
    pub(crate) fn credential_source(&self, app: &Arc<App>) -> Result<SourceStage, Vec<Violation>> {
        let (rules, way) = match (&self.entry, &self.stage) {
            (Entry::Linked(linked), Some(StageDescription { name, role: Role::CredentialSource(rules) })) => {
                (*rules, SourceWay::Linked(Arc::clone(&linked.credential_sources[name])))
            }
            (Entry::File(plugin), Some(StageDescription { name, role: Role::CredentialSource(rules) })) => {
                match plugin.open_credential_source(name, app) {
                    Ok(stage) => (*rules, SourceWay::File(Arc::clone(plugin), stage)),
                    Err(error) => (*rules, SourceWay::Absent(troubled(error)?)),
                }
            }
            (Entry::Absent(reason), _) => (ABSENT_SOURCE, SourceWay::Absent(Arc::clone(reason))),
            _ => return Err(vec![self.impossible()]),
        };
        Ok(SourceStage::new(rules, Arc::clone(app), way))
    }

    /// As a renderer with the settings of that app.
    pub(crate) fn renderer(&self, app: &Arc<App>) -> Result<RendererStage, Vec<Violation>> {
        match (&self.entry, &self.stage) {
            (Entry::File(plugin), Some(stage)) => match plugin.open_renderer(stage.name, app) {
                Ok(renderer) => Ok(RendererStage::file(Arc::clone(plugin), renderer)),
                Err(error) => Ok(RendererStage::absent(troubled(error)?)),
            },
            (Entry::Absent(reason), _) => Ok(RendererStage::absent(Arc::clone(reason))),
            _ => Err(vec![self.impossible()]),
        }
    }

    /// Whether its plugin cannot do without an app.
    pub(crate) fn needs_settings(&self) -> bool {
        self.entry.description().is_some_and(|it| it.app_settings.iter().any(|setting| setting.required))
    }

    /// A stage was found under a kind that it is not of: only a mistake of this file can do that.
    fn impossible(&self) -> Violation {
        Violation::new("", format!("`{}` is no such stage", self.name))
    }
}

/// Why a stage in a file could not be opened: mistakes of its settings are config's to mend; whatever else is wrong with
/// the plugin has its channels wait, and stops nothing.
fn troubled(error: OpenError) -> Result<Arc<str>, Vec<Violation>> {
    match error {
        OpenError::Settings(violations) => Err(violations),
        OpenError::Trouble(trouble) => Ok(trouble.to_string().into()),
    }
}
