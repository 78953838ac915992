//! A plugin in a file as if it were linked in: for tests that run against both, and to measure the bare border.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Map, Value};
use tidings_abi::v1;
use tidings_sdk::{
    App, Callback, CredentialKind, CredentialSource, Delivery, Fetched, HttpTransport, Intake, Minted, Outcome, Part,
    Permit, Plugin, Push, Received, Renderer, Reply, Request, Response, Role, SourceRules, Timestamp, TokenProvider,
    TransportRules, Violation,
};

use crate::calls::Parcel;
use crate::loaded::Loaded;
use crate::opened::Opened;
use crate::reply::lock;
use crate::stages::render_trouble;
use crate::trouble::{Fault, RenderTrouble, Trouble};

/// Instances kept for apps seen before; the oldest goes first.
const INSTANCES_KEPT: usize = 16;

/// The same plugin, its pure stages called on the caller's own thread, one call at a time under a lock: the one promise
/// about threads that is not kept is that it is always the same one.
///
/// Trouble becomes what a linked-in plugin would say: a sentence. A panic of the plugin becomes one here.
pub fn direct(loaded: &Arc<Loaded>) -> Plugin {
    let description = loaded.description();
    let mut plugin = Plugin::new(description.name, description.version).app_settings(description.app_settings);
    for stage in &description.stages {
        let name = stage.name;
        plugin = match stage.role {
            Role::TokenProvider { day_offset } => {
                let table = loaded.tables.token_provider;
                plugin.token_provider(name, Direct::new(loaded, name, v1::ROLE_NAME_TOKEN_PROVIDER, table, day_offset))
            }
            Role::CredentialSource(rules) => {
                let table = loaded.tables.credential_source;
                plugin.credential_source(name, Direct::new(loaded, name, v1::ROLE_NAME_CREDENTIAL_SOURCE, table, rules))
            }
            Role::Renderer => {
                let table = loaded.tables.renderer;
                plugin.renderer(name, Direct::new(loaded, name, v1::ROLE_NAME_RENDERER, table, ()))
            }
            Role::HttpTransport(rules) => {
                let table = loaded.tables.http_transport;
                plugin.http_transport(name, Direct::new(loaded, name, v1::ROLE_NAME_HTTP_TRANSPORT, table, rules))
            }
            Role::Callback => {
                let table = loaded.tables.callback;
                plugin.callback(name, Direct::new(loaded, name, v1::ROLE_NAME_CALLBACK, table, ()))
            }
            // It answers when it likes, on threads of its own: nothing to call directly.
            Role::Transport(_) => plugin,
        };
    }
    plugin
}

/// A stage, and its instances by app.
struct Direct<T, Known> {
    loaded: Arc<Loaded>,
    stage: &'static str,
    role_name: &'static str,
    table: Option<T>,
    known: Known,
    instances: Mutex<Vec<(App, Arc<Opened<T>>)>>,
}

impl<T: Copy, Known> Direct<T, Known> {
    fn new(
        loaded: &Arc<Loaded>,
        stage: &'static str,
        role_name: &'static str,
        table: Option<T>,
        known: Known,
    ) -> Direct<T, Known> {
        Direct { loaded: Arc::clone(loaded), stage, role_name, table, known, instances: Mutex::default() }
    }

    /// The instance for that app, and a call on it.
    fn call<R>(&self, app: &App, call: impl FnOnce(&Opened<T>) -> Result<R, Fault>) -> Result<R, Fault> {
        let opened = {
            let mut instances = lock(&self.instances);
            match instances.iter().find(|(other, _)| other == app) {
                Some((_, opened)) => Arc::clone(opened),
                None => {
                    let role = self.role_name.trim_end_matches("/1");
                    let made = self.loaded.create(self.stage, role, self.role_name, self.table, app)?;
                    let made = Arc::new(made);
                    if instances.len() >= INSTANCES_KEPT {
                        instances.remove(0);
                    }
                    instances.push((app.clone(), Arc::clone(&made)));
                    made
                }
            }
        };
        let called = call(&opened);
        if let Err(Fault::Trouble(trouble @ Trouble::Panicked { .. })) = &called {
            panic!("{trouble}");
        }
        called
    }
}

/// A fault as a linked-in stage would say it.
fn said(fault: Fault) -> String {
    Trouble::from(fault).to_string()
}

impl TokenProvider for Direct<v1::TokenProvider, Duration> {
    fn request(&self, app: &App) -> Result<Request, String> {
        self.call(app, Opened::<v1::TokenProvider>::request).map_err(said)
    }

    fn read(&self, app: &App, response: &Response<'_>) -> Fetched {
        self.call(app, |opened| opened.read(response)).unwrap_or_else(|fault| Fetched::retry(said(fault)))
    }

    fn day_offset(&self) -> Duration {
        self.known
    }

    fn fetches_per_day(&self, app: &App) -> Option<u32> {
        self.call(app, |opened| Ok(opened.fetches_per_day())).ok().flatten()
    }
}

impl CredentialSource for Direct<v1::CredentialSource, SourceRules> {
    fn kind(&self) -> CredentialKind {
        self.known.kind
    }

    fn mints(&self) -> bool {
        self.known.mints
    }

    fn fits_any_transport(&self) -> bool {
        self.known.fits_any_transport
    }

    fn admit(&self, app: &App, intake: &Intake, now: Timestamp) -> Result<Permit, String> {
        self.call(app, |opened| opened.admit(intake, now)).map_err(said)
    }

    fn mint(&self, app: &App, recipient: &str, scope: &str, now: Timestamp) -> Minted {
        self.call(app, |opened| opened.mint(recipient, scope, now)).unwrap_or_default()
    }
}

impl Renderer for Direct<v1::Renderer, ()> {
    fn render(&self, app: &App, parts: &[(String, Part)], data: &Value) -> Result<Map<String, Value>, Violation> {
        self.call(app, |opened| opened.render(parts, data)).map_err(|fault| match render_trouble(fault) {
            RenderTrouble::Violation(violation) => violation,
            RenderTrouble::Trouble(trouble) => Violation::new("", trouble.to_string()),
        })
    }
}

impl HttpTransport for Direct<v1::HttpTransport, TransportRules> {
    fn rules(&self) -> TransportRules {
        self.known
    }

    fn check(&self, app: &App, content: &Map<String, Value>) -> Vec<Violation> {
        let checked = self.call(app, |opened| opened.check(content));
        checked.unwrap_or_else(|fault| vec![Violation::new("", said(fault))])
    }

    fn request(&self, delivery: &Delivery<'_>) -> Result<Request, String> {
        let credential = delivery.credential.map(|credential| (credential.source, credential.value));
        let parcel = Parcel {
            token: delivery.token,
            credential,
            recipient: delivery.recipient,
            dedupe_id: delivery.dedupe_id,
            timeout: Duration::ZERO,
        };
        self.call(delivery.app, |opened| opened.request(parcel, delivery.content)).map_err(said)
    }

    fn read(&self, app: &App, response: &Response<'_>) -> Outcome {
        let read = self.call(app, |opened| opened.read(response));
        read.unwrap_or_else(|fault| Outcome::Unknown { detail: said(fault) })
    }
}

impl Callback for Direct<v1::Callback, ()> {
    fn receive(&self, app: &App, push: &Push<'_>) -> Received {
        self.call(app, |opened| opened.receive(push)).unwrap_or_else(|fault| Received {
            events: Vec::new(),
            reply: Reply { status: 500, content_type: "text/plain".to_owned(), body: said(fault).into_bytes() },
        })
    }
}
