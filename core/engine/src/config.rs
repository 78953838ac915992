//! The config file: what it says, checked as far as it can be without sending anything.
//!
//! Reading is pure but for three things it has to ask for: environment variables, secret files, and the folder that
//! relative paths start from. Every mistake is reported, not the first.

mod apps;
mod channels;
mod jobs;
mod keys;
mod limits;
mod plugins;
mod policy;
mod read;
mod schedules;
mod settings;
mod store;
mod templates;
mod watch;
mod webhooks;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use serde_json::Value;
use tidings_host::{Loaded, PluginFile};
use tidings_model::cron::Cron;
use tidings_model::rate::Rate;
use tidings_model::{AppName, ChannelName, Policy, ScheduleName, SourceName, TemplateName, WebhookName};
use tidings_sdk::App;

pub(crate) use channels::rate;
pub use jobs::{Audience, Broadcast, DEADLINE_MAX, Duplicates, Job, Task, UrlAudience};
pub use limits::{ApiLimits, TlsFiles};
pub use policy::{Missed, Overlap, SchedulePolicy};
pub use read::{Problem, past};
use read::{Section, Source};
pub(crate) use read::{duration, no_such};
pub use store::{NodeConfig, ServerAddress, StoreAddress, beside_store};
pub use watch::LogFormat;

use crate::keys::{ConfigKey, fresh_key};
use crate::registry::Registry;
use crate::reload::ConfigOrigin;
use crate::render::Body;
use crate::retention::Keep;
use crate::stages::{CallbackStage, RendererStage, SourceStage, TokenStage, TransportStage};
use crate::webhooks::WebhookConfig;

/// Everything config defines, ready to run.
#[derive(Debug)]
pub struct Config {
    /// Where relative paths start.
    pub folder: PathBuf,
    /// Where the store is.
    pub store: StoreAddress,
    /// How this engine is known to others that share its store.
    pub node: NodeConfig,
    /// How long messages stay that have ended.
    pub keep: Keep,
    /// Our own API.
    pub api: ApiConfig,
    /// How long a stop waits for messages on their way.
    pub grace: Duration,
    /// How the log is written.
    pub log: LogFormat,
    /// Where spans are sent to.
    pub telemetry: Option<String>,
    /// Accounts at providers.
    pub apps: BTreeMap<AppName, AppConfig>,
    /// Pipelines.
    pub channels: BTreeMap<ChannelName, Arc<ChannelConfig>>,
    /// What is said.
    pub templates: BTreeMap<TemplateName, TemplateConfig>,
    /// Cron lines.
    pub schedules: BTreeMap<ScheduleName, ScheduleConfig>,
    /// Who of ours is told what happens.
    pub webhooks: BTreeMap<WebhookName, Arc<WebhookConfig>>,
    /// The plugins there are.
    pub plugins: Registry,
    /// What is no mistake and still worth a sentence.
    pub notes: Vec<String>,
    /// Every setting as it is written, by its path.
    pub(crate) settings: BTreeMap<String, String>,
    /// Where it came from, if it can be read again.
    pub origin: Option<ConfigOrigin>,
}

/// Our own API.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// The TCP address; `None` for the local socket alone.
    pub listen: Option<SocketAddr>,
    /// What callers over TCP may show.
    pub keys: Vec<ConfigKey>,
    /// The local socket, for whoever may open the file.
    pub socket: PathBuf,
    /// The TLS of the TCP port.
    pub tls: Option<TlsFiles>,
    /// What callers may cost.
    pub limits: ApiLimits,
    /// Whether `/metrics` is answered without a key.
    pub metrics_open: bool,
}

/// A secret of ours: never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the secret.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The secret itself, to be compared or sent, never printed.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// An account at a provider.
pub struct AppConfig {
    /// The plugin that knows the provider.
    pub plugin: String,
    /// What its stages are given.
    pub app: Arc<App>,
    /// Changes with the settings: a halt is for the settings it happened with.
    pub fingerprint: String,
    /// Changes with the settings that are not secret: a token is for the account it was fetched for.
    pub account: String,
    /// The values of its secrets, to keep them out of what is told.
    pub(crate) secrets: Vec<String>,
    /// How long before its end a token is renewed, at most.
    pub token_margin: Duration,
    /// The reader of what its provider pushes, where the plugin has one.
    pub callback: Option<CallbackStage>,
}

impl fmt::Debug for AppConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppConfig").field("plugin", &self.plugin).field("app", &self.app).finish_non_exhaustive()
    }
}

/// One pipeline, stage by stage.
pub struct ChannelConfig {
    /// Its app.
    pub app: AppName,
    /// The token stage.
    pub token: Option<TokenStage>,
    /// The credential stage: any of these sources.
    pub credentials: Vec<CredentialStage>,
    /// How many messages its free permits are to carry at least, if anybody wants to be told.
    pub credential_low: Option<u32>,
    /// The renderer, where it is not the engine's own.
    pub renderer: Option<RendererStage>,
    /// The transport.
    pub transport: TransportStage,
    /// At most so many in so long.
    pub rate: Option<Rate>,
    /// At most so many on their way at once.
    pub in_flight: u32,
    /// How long one request may take.
    pub timeout: Duration,
    /// How long after its time a message is still worth sending.
    pub expires_after: Option<Duration>,
    /// What follows from outcomes.
    pub policy: Policy,
    /// The secrets of every app, to keep them out of what is told: a stage may be of another app than the channel's.
    pub(crate) secrets: Vec<String>,
}

impl Config {
    /// All that a token of that app is fetched with: where it is the same, so is the token's keeper.
    pub(crate) fn token_settings(&self, app: &AppName) -> Option<(&str, Duration, Option<String>)> {
        let config = self.apps.get(app)?;
        let plugin = self.plugins.identity(&config.plugin);
        Some((&config.fingerprint, config.token_margin, plugin))
    }
}

impl ChannelConfig {
    /// Whether a source of it gives permits by itself.
    pub(crate) fn mints(&self) -> bool {
        self.credentials.iter().any(|stage| stage.source.rules().mints)
    }

    /// Why a stage of it cannot work now, if one cannot.
    pub(crate) fn trouble(&self) -> Option<String> {
        let sources = self.credentials.iter().filter_map(|stage| stage.source.trouble());
        let renderer = || self.renderer.as_ref()?.trouble();
        let token = || self.token.as_ref()?.trouble();
        self.transport.trouble().or_else(token).or_else(renderer).or_else(|| sources.into_iter().next())
    }
}

impl fmt::Debug for ChannelConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelConfig")
            .field("app", &self.app)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

/// A source that a channel takes credentials from.
#[derive(Clone)]
pub struct CredentialStage {
    /// Its full name.
    pub name: SourceName,
    /// Its rules.
    pub source: SourceStage,
    /// A credential is not bound within this long of its end.
    pub margin: Duration,
}

impl fmt::Debug for CredentialStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CredentialStage").field(&self.name).finish()
    }
}

/// What is said.
#[derive(Debug)]
pub struct TemplateConfig {
    /// Its channel.
    pub channel: ChannelName,
    /// What is filled in.
    pub body: Body,
    /// What the provider calls it: the scope its credentials must fit.
    pub scope: String,
    /// Data to try it with.
    pub sample: Option<Value>,
}

/// A cron line and its job.
#[derive(Debug, Clone)]
pub struct ScheduleConfig {
    /// When.
    pub cron: Cron,
    /// On whose wall clock.
    pub timezone: Tz,
    /// What to do about times that are late and runs that overlap.
    pub policy: SchedulePolicy,
    /// What to do.
    pub job: Job,
    /// When, in a line: where that changes, the times of the earlier line are no longer its own.
    pub definition: String,
}

/// What config has to ask the world for.
pub struct World<'a> {
    /// An environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The text of a secret file.
    pub read_file: &'a dyn Fn(&Path) -> std::io::Result<String>,
    /// Makes a secret file with a fresh key, and gives the key.
    pub create_key: &'a dyn Fn(&Path) -> std::io::Result<String>,
    /// Loads a plugin file, or says why not.
    pub load_plugin: &'a dyn Fn(&PluginFile) -> Result<Arc<Loaded>, tidings_host::Refusal>,
}

impl fmt::Debug for World<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World")
    }
}

impl World<'static> {
    /// The process's own environment and files.
    pub fn process() -> World<'static> {
        World {
            variable: &|name| std::env::var(name).ok(),
            read_file: &|path| std::fs::read_to_string(path),
            create_key: &create_key,
            load_plugin: &|file| tidings_host::load(tidings_host::inspect(file)?),
        }
    }

    /// The same, but nothing is made: for a check.
    pub fn looking_on() -> World<'static> {
        World { create_key: &|_| Ok(fresh_key().reveal().to_owned()), ..World::process() }
    }
}

/// Makes a key file that only its owner can read.
fn create_key(path: &Path) -> std::io::Result<String> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let key = fresh_key().reveal().to_owned();
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{key}")?;
    Ok(key)
}

/// Where the engine of a config file listens for callers on the same machine. It reads no secrets and checks nothing
/// else, so that a caller need not be able to run the engine.
pub fn local_socket(path: &Path) -> Result<PathBuf, String> {
    let local = local(path)?;
    Ok(local.socket.unwrap_or_else(|| beside_store(local.store.as_deref(), &local.folder, "sock")))
}

/// The file of the store of a config file, read as [`local_socket`] reads it; `None` if the store is on a server.
pub fn local_store(path: &Path) -> Result<Option<PathBuf>, String> {
    local(path).map(|local| local.store)
}

/// What a caller on the same machine has to know of a config file.
struct Local {
    folder: PathBuf,
    /// The file of the store, if it is in one.
    store: Option<PathBuf>,
    /// The socket, if it is named.
    socket: Option<PathBuf>,
}

fn local(path: &Path) -> Result<Local, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read `{shown}`: {error}"))?;
    let document = toml::de::DeTable::parse(&text).map_err(|error| format!("`{shown}`: {}", error.message()))?;
    let find = |table: &str, key: &str| {
        document.get_ref().get(table)?.get_ref().as_table()?.get(key).map(toml::Spanned::get_ref)
    };
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let store = store::local_file(find("store", "url"), &folder);
    let socket = find("api", "socket").and_then(|socket| socket.as_str()).map(|socket| folder.join(socket));
    Ok(Local { folder, store, socket })
}

/// Settings that are a machine's own: engines that share a store may differ in them.
const OWN_SETTINGS: [&str; 6] = ["store.node", "store.url", "api.listen", "api.socket", "api.tls", "log"];

impl Config {
    /// Tells configs apart, of engines that share a store: what is sent where, when and with which limits. Not what is a
    /// machine's own.
    pub(crate) fn fingerprint(&self) -> String {
        let is_own = |key: &str| OWN_SETTINGS.iter().any(|own| key == *own || key.starts_with(&format!("{own}.")));
        let text: Vec<String> = (self.settings.iter())
            .filter(|(key, _)| !is_own(key))
            .map(|(key, value)| format!("{key}={value}\n"))
            .collect();
        format!("{:016x}", tidings_store::fingerprint(text.concat().as_bytes()).cast_unsigned())
    }

    /// Reads a config file.
    pub fn load(path: &Path, registry: &Registry, world: &World<'_>) -> Result<Config, Vec<Problem>> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            let advice = match error.kind() {
                std::io::ErrorKind::NotFound => "; name the config file with `-c FILE`",
                std::io::ErrorKind::InvalidData => "; save it as UTF-8",
                _ => "",
            };
            let message = format!("cannot be read: {error}{advice}");
            vec![Problem { file: file.clone(), line: 1, column: 1, path: String::new(), message }]
        })?;
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        Config::read(&file, &text, folder, registry, world)
    }

    /// Reads the text of a config file; `file` is what mistakes are reported under.
    ///
    /// # Errors
    ///
    /// Every mistake there is, in the order of the file.
    pub fn read(
        file: &str,
        text: &str,
        folder: PathBuf,
        registry: &Registry,
        world: &World<'_>,
    ) -> Result<Config, Vec<Problem>> {
        let (document, errors) = toml::de::DeTable::parse_recoverable(text);
        let source = Source::new(file, text);
        for error in &errors {
            source.report(&error.span().unwrap_or(0..0), "", error.message());
        }
        let root = Section::root(&source, &document);
        let reading = Reading { registry, world, folder: &folder, in_a_file: true };
        let config = reading.document(&root);
        root.finish();
        let problems = source.into_problems();
        if !problems.is_empty() {
            return Err(problems);
        }
        let settings = settings::settings(document.get_ref());
        Ok(Config { folder: folder.clone(), settings, ..config })
    }
}

/// What the readers of the sections share.
struct Reading<'a> {
    registry: &'a Registry,
    world: &'a World<'a>,
    folder: &'a Path,
    /// Whether the store is in a file.
    in_a_file: bool,
}

impl Reading<'_> {
    fn document(&self, root: &Section<'_>) -> Config {
        let known = |value: &toml::de::DeValue<'_>| {
            let is_one = value.as_integer().is_some_and(|digits| digits.as_str() == "1");
            if is_one { Ok(()) } else { Err("this program reads `version = 1`".to_owned()) }
        };
        if root.parsed("version", known).is_none() && root.find("version").is_none() {
            root.missing("version", "`version = 1` at the top");
        }
        let (store, node, keep) = self.store(root);
        let api = self.api(root, &store);
        let grace = self.engine(root);
        let (log, telemetry) = (self.log(root), self.telemetry(root));
        let mut notes = Vec::new();
        if api.listen.is_some() && api.keys.is_empty() {
            notes.push("`[api] listen` opens a port, and config names no key: `tidings keys add` makes one".to_owned());
        }
        let registry = self.plugins(root, &mut notes);
        let reading = Reading { registry: &registry, in_a_file: store.file().is_some(), ..*self };
        let config = reading.definitions(root, store, keep, api, grace, notes);
        Config { log, telemetry, node, ..config }
    }

    /// What config defines, once it is known which plugins there are.
    fn definitions(
        &self,
        root: &Section<'_>,
        store: StoreAddress,
        keep: Keep,
        api: ApiConfig,
        grace: Duration,
        mut notes: Vec<String>,
    ) -> Config {
        let apps = self.apps(root, &mut notes);
        let channels = self.channels(root, &apps);
        for (name, channel) in &channels.known {
            notes.extend(channel.trouble().map(|reason| format!("channel `{name}` waits: {reason}")));
        }
        let templates = self.templates(root, &channels, &mut notes);
        let schedules = self.schedules(root, &apps, &templates);
        let webhooks = self.webhooks(root, &channels);
        Config {
            folder: PathBuf::new(),
            store,
            node: NodeConfig::default(),
            keep,
            api,
            grace,
            log: LogFormat::default(),
            telemetry: None,
            apps: apps.known,
            channels: channels.known.into_iter().map(|(name, channel)| (name, Arc::new(channel))).collect(),
            templates: templates.known,
            schedules,
            webhooks,
            plugins: self.registry.clone(),
            notes,
            settings: BTreeMap::new(),
            origin: None,
        }
    }

    fn api(&self, root: &Section<'_>, store: &StoreAddress) -> ApiConfig {
        let socket = beside_store(store.file(), self.folder, "sock");
        let limits = ApiLimits::default();
        let Some(section) = root.section("api") else {
            return ApiConfig { listen: None, keys: Vec::new(), socket, tls: None, limits, metrics_open: false };
        };
        let limits = limits::read(&section);
        let tls = limits::tls(&section, self.folder);
        if tls.is_some() && section.find("listen").is_none() {
            section.missing("listen", "an address, because `tls` is for a TCP port");
        }
        let listen = section.parsed("listen", |value| {
            let text = read::text(value)?;
            text.parse::<SocketAddr>().map_err(|_| format!("`{text}` is no address; write it as in `127.0.0.1:7380`"))
        });
        let key = section.find("key").and_then(|found| self.secret(&section, &found, SecretUse::Ours));
        let keys = self.keys(&section, key.as_ref());
        let named = section.text("socket").map(|path| self.folder.join(path));
        let metrics_open = section.choice("metrics", &["key", "open"]) == Some("open");
        section.finish();
        ApiConfig { listen, keys, socket: named.unwrap_or(socket), tls, limits, metrics_open }
    }

    fn engine(&self, root: &Section<'_>) -> Duration {
        const GRACE: Duration = Duration::from_secs(20);
        let Some(section) = root.section("engine") else { return GRACE };
        let grace = section.duration("grace");
        section.finish();
        grace.unwrap_or(GRACE)
    }

    /// A secret: `{ env = "…" }` or `{ file = "…" }`. A secret in the file itself is refused.
    fn secret<'c>(&self, section: &Section<'c>, found: &read::Found<'c>, secret_use: SecretUse) -> Option<Secret> {
        if found.value.is_str() {
            let message = "a secret does not stand in the file; write `{ env = \"NAME\" }` or `{ file = \"PATH\" }`";
            section.report(&found.span, &found.path, message);
            return None;
        }
        let table = section.as_section(found)?;
        if secret_use == SecretUse::Ours {
            table.flag("create");
        }
        let read = match (table.text("env"), table.text("file")) {
            (Some(_), None) | (None, Some(_)) if secret_use == SecretUse::Unread => Ok(String::new()),
            (Some(name), None) => match (self.world.variable)(&name) {
                Some(value) if !value.is_empty() => Ok(value),
                Some(_) => Err(format!("the environment variable `{name}` is empty")),
                None => Err(format!("the environment variable `{name}` is not set")),
            },
            (None, Some(path))
                if secret_use == SecretUse::Ours && table.flag("create") && !self.folder.join(&path).exists() =>
            {
                let made = (self.world.create_key)(&self.folder.join(&path));
                made.map_err(|error| format!("the file `{path}` cannot be made: {error}"))
            }
            (None, Some(path)) => match (self.world.read_file)(&self.folder.join(&path)) {
                Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
                Ok(_) => Err(format!("the file `{path}` is empty")),
                Err(error) => Err(format!("the file `{path}` cannot be read: {error}")),
            },
            _ => Err("expected one of `env` and `file`".to_owned()),
        };
        table.finish();
        match read {
            Ok(value) => Some(Secret::new(value)),
            Err(message) => {
                section.report(&found.span, &found.path, message);
                None
            }
        }
    }
}

/// What a secret is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SecretUse {
    /// A key of our own: its file may be made.
    Ours,
    /// A provider's.
    Theirs,
    /// None for now: its form must be right, and it is not read.
    Unread,
}

/// Names that config has, whether or not what they name could be read: one mistake is not reported twice.
struct Names<K, V> {
    known: BTreeMap<K, V>,
    seen: Vec<String>,
}

impl<K: Ord, V> Names<K, V> {
    fn new() -> Names<K, V> {
        Names { known: BTreeMap::new(), seen: Vec::new() }
    }

    /// Says what is wrong with a reference to `name`, if there is none of that name.
    fn refers(&self, what: &str, name: &str) -> Result<(), String> {
        if self.seen.iter().any(|seen| seen == name) {
            return Ok(());
        }
        let seen: Vec<&str> = self.seen.iter().map(String::as_str).collect();
        Err(read::no_such(what, name, &seen))
    }
}

#[cfg(test)]
pub(crate) mod tests;
