//! A plugin that was loaded: its thread, its description, and instances of its stages.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use tidings_abi::sized;
use tidings_abi::v1::{self, Pair, Text};
use tidings_sdk::{App, Description, SettingKind};

use crate::border::{self, NO_SECRETS};
use crate::image;
use crate::inspect::Inspected;
use crate::limits::{Limits, PLUGINS_MAX};
use crate::opened::{Itself, Opened};
use crate::queue::{Next, Work};
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::resident::{Counters, PluginState, Resident};
use crate::stages::{
    FileCallback, FileCredentialSource, FileHttpTransport, FileRenderer, FileTokenProvider, FileTransport,
};
use crate::table;
use crate::tables::Tables;
use crate::transport::{Backlogs, OFFER_AGAIN_AFTER};
use crate::trouble::{Fault, OpenError, Trouble, spoken};

/// A plugin that was loaded. It is never unloaded; its thread ends with the last of these and of the stages opened.
pub struct Loaded {
    pub(crate) resident: &'static Resident,
    pub(crate) tables: Tables,
    description: Description,
    inspected: Inspected,
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Loaded").field(&self.inspected).finish()
    }
}

/// Loads a file that was found fit to be.
///
/// Blocks until the plugin has said what it is, and no longer than [`Limits::load_timeout`].
///
/// # Errors
///
/// The first thing that is wrong with it.
pub fn load(inspected: Inspected) -> Result<Arc<Loaded>, Refusal> {
    load_with(inspected, Limits::default())
}

/// The same, within other limits.
///
/// # Errors
///
/// The first thing that is wrong with it.
pub fn load_with(mut inspected: Inspected, limits: Limits) -> Result<Arc<Loaded>, Refusal> {
    let path = inspected.path.clone();
    let refuse = |problem: String| Refusal::new(&path, problem);
    let name: &'static str = Box::leak(inspected.name.clone().into_boxed_str());
    let resident = Resident::settle(name, limits).ok_or_else(|| {
        refuse(format!("is one too many: this engine has loaded {PLUGINS_MAX} since it was started; start it again"))
    })?;
    let bytes = std::mem::take(&mut inspected.bytes);
    let begun: Arc<Reply<Result<(Tables, Description), String>>> = Reply::new();
    let reply = Arc::clone(&begun);
    let said = inspected.clone();
    let thread = std::thread::Builder::new().name(format!("plugin {name}")).spawn(move || {
        let opened = begin(resident, &said, &bytes);
        drop((bytes, said));
        if opened.is_ok() && reply.answer(Ok(opened.clone())) {
            run(resident);
        } else {
            reply.answer(Ok(opened));
        }
    });
    thread.map_err(|error| refuse(format!("got no thread to run on: {error}")))?;
    match begun.wait_blocking(limits.load_timeout) {
        Some(Ok(Ok((tables, description)))) => Ok(Arc::new(Loaded { resident, tables, description, inspected })),
        Some(Ok(Err(problem))) => Err(refuse(problem)),
        Some(Err(fault)) => Err(refuse(Trouble::from(fault).to_string())),
        None => {
            let within = spoken(limits.load_timeout);
            resident.park(format!("it did not load within {within}"));
            Err(refuse(format!("was not loaded within {within}: what it does at its start does not end")))
        }
    }
}

/// Loads the image and asks the plugin what it is, on its own thread.
fn begin(resident: &'static Resident, inspected: &Inspected, bytes: &[u8]) -> Result<(Tables, Description), String> {
    let loaded = resident.cross("its initialisers", || image::load(resident.name, bytes)).returned?;
    let crossed = resident.cross("tidings_plugin_entry_v1", || {
        let mut plugin: *const v1::Plugin = std::ptr::null();
        // SAFETY: the entry of a file whose note says that it is of this contract; the host's table stays for ever, and
        // `plugin` is written before it returns or not at all.
        let code = unsafe { loaded(table::table(), &raw mut plugin) };
        (code, plugin)
    });
    let (code, plugin) = crossed.returned;
    match code {
        v1::OK => {}
        v1::PANICKED => {
            if !crossed.panicked {
                resident.panicked(None);
            }
            return Err("panicked when it was loaded; see the log, and tell its author".to_owned());
        }
        code => return Err(format!("said {code} when it was loaded; see the log, and tell its author")),
    }
    let misshapen = |error| format!("gave a table that is {error}; tell its author");
    // SAFETY: what the entry gave; the contract says that the table stays valid for ever.
    let plugin = unsafe { sized(plugin) }.map_err(misshapen)?;
    let description = describe(&plugin, inspected)?;
    // SAFETY: `plugin` is what the entry gave, and this is the border.
    let tables = resident.cross("get_interface", || unsafe { Tables::of(&plugin, &description) }).returned?;
    Ok((tables, description))
}

/// The description, if it says what the note said.
pub(crate) fn describe(plugin: &v1::Plugin, inspected: &Inspected) -> Result<Description, String> {
    // SAFETY: the description stays valid for ever, by the contract. One byte more is read than may be, so that what is
    // too long is known to be.
    let text = unsafe { plugin.description.bytes(tidings_sdk::DESCRIPTION_BYTES_MAX + 1) };
    let text = text.ok().and_then(|text| std::str::from_utf8(text).ok());
    let text = text.ok_or("has a description that is no text; tell its author")?;
    let description = Description::parse(text)
        .map_err(|problem| format!("has a description that cannot be read: it {problem}; tell its author"))?;
    let roles: Vec<&str> = description.stages.iter().map(|stage| stage.role.name()).collect();
    let differ = |what: &str, note: &str, described: &str| {
        Err(format!(
            "contradicts itself: its note says the {what} {note}, its description says {described}; build it again"
        ))
    };
    if description.name != inspected.name {
        return differ("name", &inspected.name, description.name);
    }
    if description.version != inspected.version {
        return differ("version", &inspected.version, description.version);
    }
    let mut offered = roles;
    offered.sort_unstable();
    offered.dedup();
    let mut noted = inspected.roles.clone();
    noted.sort_unstable();
    if offered != noted {
        return differ("roles", &noted.join(", "), &offered.join(", "));
    }
    Ok(description)
}

/// The plugin's thread: everything that is to be done, in order, until there will be no more or the plugin is parked.
fn run(resident: &'static Resident) {
    let mut backlogs = Backlogs::default();
    while !resident.is_parked() {
        if backlogs.are_due() {
            backlogs.resume();
        }
        match resident.queue.next((!backlogs.are_empty()).then_some(OFFER_AGAIN_AFTER)) {
            Next::Work(Work::Call { waiting, run }) => {
                // Whoever gave up meanwhile needs no call.
                if !waiting.is_over() {
                    resident.serve(waiting, run);
                }
            }
            Next::Work(Work::Cancel { carrying, operation }) => carrying.cancel(operation),
            Next::Work(Work::Destroy(destroy)) => destroy(),
            Next::Work(Work::Deliver(offered)) => backlogs.offer(vec![offered]),
            Next::Deliveries(offered) => backlogs.offer(offered),
            Next::Resume => backlogs.resume(),
            Next::Stop => return,
        }
    }
}

impl Loaded {
    /// What the plugin says of itself.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// What was found in its file.
    pub fn inspected(&self) -> &Inspected {
        &self.inspected
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.resident.name
    }

    /// Whether it is called.
    pub fn state(&self) -> PluginState {
        self.resident.state()
    }

    /// What it did that it should not have, and what it has to do.
    pub fn counters(&self) -> Counters {
        self.resident.counters()
    }

    /// A transport whose provider speaks HTTP, for an app.
    ///
    /// # Errors
    ///
    /// The plugin refused the app's settings, or is in trouble.
    pub fn open_http_transport(self: &Arc<Self>, stage: &str, app: &Arc<App>) -> Result<FileHttpTransport, OpenError> {
        self.open(stage, "http_transport", v1::ROLE_NAME_HTTP_TRANSPORT, self.tables.http_transport, app)
            .map(FileHttpTransport::new)
    }

    /// A transport that does its own talking, for an app.
    ///
    /// # Errors
    ///
    /// The plugin refused the app's settings, or is in trouble.
    pub fn open_transport(self: &Arc<Self>, stage: &str, app: &Arc<App>) -> Result<FileTransport, OpenError> {
        self.open(stage, "transport", v1::ROLE_NAME_TRANSPORT, self.tables.transport, app).map(FileTransport::new)
    }

    /// A token provider, for an app.
    ///
    /// # Errors
    ///
    /// The plugin refused the app's settings, or is in trouble.
    pub fn open_token_provider(self: &Arc<Self>, stage: &str, app: &Arc<App>) -> Result<FileTokenProvider, OpenError> {
        self.open(stage, "token_provider", v1::ROLE_NAME_TOKEN_PROVIDER, self.tables.token_provider, app)
            .map(FileTokenProvider::new)
    }

    /// A credential source, for an app.
    ///
    /// # Errors
    ///
    /// The plugin refused the app's settings, or is in trouble.
    pub fn open_credential_source(
        self: &Arc<Self>,
        stage: &str,
        app: &Arc<App>,
    ) -> Result<FileCredentialSource, OpenError> {
        self.open(stage, "credential_source", v1::ROLE_NAME_CREDENTIAL_SOURCE, self.tables.credential_source, app)
            .map(FileCredentialSource::new)
    }

    /// A renderer, for an app.
    ///
    /// # Errors
    ///
    /// The plugin refused the app's settings, or is in trouble.
    pub fn open_renderer(self: &Arc<Self>, stage: &str, app: &Arc<App>) -> Result<FileRenderer, OpenError> {
        self.open(stage, "renderer", v1::ROLE_NAME_RENDERER, self.tables.renderer, app).map(FileRenderer::new)
    }

    /// A reader of what the provider pushes, for an app.
    ///
    /// # Errors
    ///
    /// The plugin refused the app's settings, or is in trouble.
    pub fn open_callback(self: &Arc<Self>, stage: &str, app: &Arc<App>) -> Result<FileCallback, OpenError> {
        self.open(stage, "callback", v1::ROLE_NAME_CALLBACK, self.tables.callback, app).map(FileCallback::new)
    }

    /// Makes an instance on the plugin's thread. One that comes too late is ended there as well.
    fn open<T: Copy + Send + Sync + 'static>(
        self: &Arc<Self>,
        stage: &str,
        role: &'static str,
        role_name: &'static str,
        table: Option<T>,
        app: &Arc<App>,
    ) -> Result<Arc<Opened<T>>, OpenError> {
        let reply: Arc<Reply<Arc<Opened<T>>>> = Reply::new();
        let (loaded, answer) = (Arc::clone(self), Arc::clone(&reply));
        let (stage, app) = (stage.to_owned(), Arc::clone(app));
        let run = Box::new(move || {
            let made = loaded.create(&stage, role, role_name, table, &app);
            answer.answer(made.map(Arc::new));
        });
        let waiting = Arc::clone(&reply);
        self.resident.queue(Work::Call { waiting, run }).map_err(OpenError::Trouble)?;
        let wait = self.resident.limits.open_timeout;
        let late = || Err(Fault::Trouble(Trouble::Late { plugin: self.name(), function: "create", wait }));
        reply.wait_blocking(wait).unwrap_or_else(late).map_err(|fault| match fault {
            Fault::Refused(problems) => OpenError::Settings(problems),
            Fault::Trouble(trouble) => OpenError::Trouble(trouble),
        })
    }

    /// Makes an instance, on whatever thread this is.
    pub(crate) fn create<T: Copy>(
        self: &Arc<Self>,
        stage: &str,
        role: &'static str,
        role_name: &'static str,
        table: Option<T>,
        app: &App,
    ) -> Result<Opened<T>, Fault> {
        let is_it =
            |described: &&tidings_sdk::StageDescription| described.name == stage && described.role.name() == role;
        let described = self.description.stages.iter().find(is_it);
        let (Some(described), Some(table)) = (described, table) else {
            let problem = format!("plugin `{}` has no {role} `{stage}`", self.name());
            return Err(Fault::Trouble(Trouble::Refused(problem)));
        };
        let Handed { settings, secrets } = self.handed(app);
        let kept: Vec<String> = secrets.iter().map(|(_, secret)| (*secret).to_owned()).collect();
        let instance = self.resident.new_instance(app.name.clone(), kept).ok_or_else(|| {
            let problem = format!("plugin `{}` has too many instances already", self.name());
            Fault::Trouble(Trouble::Refused(problem))
        })?;
        let pairs: Vec<Pair> =
            secrets.iter().map(|(name, secret)| Pair { name: Text::of(name), value: Text::of(secret) }).collect();
        let stage = v1::Stage {
            role: Text::of(role_name),
            stage: Text::of(described.name),
            app: Text::of(&app.name),
            settings: Text::of(&settings),
            secrets: pairs.as_ptr(),
            secret_count: pairs.len(),
            ..tidings_abi::empty()
        };
        let mut itself = std::ptr::null_mut();
        let call = |context| {
            // SAFETY: the function of the plugin's table; everything `stage` points to outlives the call, and `itself`
            // is a place for a pointer.
            unsafe { (self.tables.create)(instance.id, &raw const stage, &raw mut itself, border::problems(context)) }
        };
        match self.resident.ask("create", NO_SECRETS, call, |_| ()) {
            Ok(()) => Ok(Opened::new(Arc::clone(self), instance, Itself::new(itself), table, described.name)),
            Err(fault) => {
                self.resident.forget_instance(instance.id);
                Err(fault)
            }
        }
    }

    /// The app's settings as the plugin gets them: what it did not describe does not cross.
    fn handed<'a>(&self, app: &'a App) -> Handed<'a> {
        let mut open = Map::new();
        let mut secrets = Vec::new();
        for (name, value) in app.settings.iter() {
            let setting = self.description.app_settings.iter().find(|setting| setting.name == name);
            match setting.map(|setting| setting.kind) {
                None => {}
                Some(SettingKind::Secret) => secrets.extend(value.as_str().map(|secret| (name, secret))),
                Some(_) => drop(open.insert(name.to_owned(), value.clone())),
            }
        }
        Handed { settings: Value::Object(open).to_string(), secrets }
    }
}

/// The settings of an app, the secrets apart.
struct Handed<'a> {
    settings: String,
    secrets: Vec<(&'a str, &'a str)>,
}

impl Drop for Loaded {
    /// Nobody can ask any more: the thread does what is left, and ends.
    fn drop(&mut self) {
        self.resident.queue.close();
    }
}
