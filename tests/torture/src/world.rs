//! One run's world: its folder, WeChat simulated in this process so that it outlives every kill, and the engine's config.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tidings_api::client::{Address, Client, ClientError};
use tidings_api::wire::{Message, Page, Run};
use tidings_wechat_sandbox::{Control, Fault, FaultKind, Options as Simulated, Quotas, Sandbox, When, start};
use tokio::net::TcpListener;

use crate::Options;
use crate::binary;
use crate::compare::{Arrival, Seen, Stored, compare};
use crate::engine::Engine;
use crate::folder::Folder;
use crate::lane::Lane;
use crate::ledger::Ledger;
use crate::report::Report;
use crate::shim::Shim;
use crate::trouble::{Outcome, Trouble};

/// Who is told by the schedules.
pub(crate) const AUDIENCE: usize = 3;
/// Replies lost after the message arrived.
const DROPPED: f64 = 0.05;
/// The lease of engines that share a store, the shortest there may be.
pub(crate) const LEASE_S: u64 = 2;
/// Rows of a page, the most there may be.
const PAGE: &str = "250";

/// Engines that share a store.
pub(crate) struct Shared {
    /// The database's address.
    pub(crate) url: String,
    pub(crate) clients: Vec<Client>,
}

/// A node's config, and its socket.
fn config_of(node: usize) -> (String, String) {
    (format!("node-{node}.toml"), format!("node-{node}.sock"))
}

/// See the module.
pub(crate) struct World {
    pub(crate) client: Client,
    /// Where several engines share a store: the database, and a client for each of them; the first is `client`.
    pub(crate) shared: Option<Shared>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) shim: Option<Shim>,
    pub(crate) sandbox: Sandbox,
    binary: PathBuf,
    // Last: everything above has let go of it by then.
    folder: Folder,
}

impl World {
    /// Makes one; the provider answers so many milliseconds late.
    pub(crate) async fn new(options: &Options, with_shim: bool, latency_ms: u64) -> Outcome<World> {
        // Another run of this process may have chosen the same one before.
        drop(rustls::crypto::ring::default_provider().install_default());
        let binary = binary::find(options.binary.as_deref())?;
        let folder = Folder::make(options.keep)?;
        let store = folder.path().join("store");
        std::fs::create_dir(&store)?;
        let shim = if with_shim { Some(Shim::build(folder.path(), &store)?) } else { None };
        let faults = vec![
            Fault { api: None, kind: FaultKind::DropReply, when: When::Probability(DROPPED), times: None },
            Fault { api: None, kind: FaultKind::Latency { ms: latency_ms }, when: When::Every(1), times: None },
        ];
        let simulated = Simulated { seed: options.seed, faults, quotas: Quotas::UNLIMITED, ..Simulated::default() };
        let sandbox = start(TcpListener::bind("127.0.0.1:0").await?, simulated).await;
        let client = Client::new(Address::Socket(folder.path().join("engine.sock")), None)?;
        let world = World { client, shared: None, ledger: Arc::default(), shim, sandbox, binary, folder };
        let rows: String = (0..AUDIENCE).map(|row| format!("o-audience-{row},hello,digest-{row}\n")).collect();
        std::fs::write(world.path("audience.csv"), format!("to,title,order\n{rows}"))?;
        world.configure("@every 1s")?;
        Ok(world)
    }

    /// The same for so many engines on one database; the first of them is who is asked.
    pub(crate) async fn share(&mut self, url: String, nodes: usize) -> Outcome {
        let client = |node| Client::new(Address::Socket(self.folder.path().join(config_of(node).1)), None);
        let clients = (0..nodes).map(client).collect::<Result<Vec<_>, _>>()?;
        self.client = clients[0].clone();
        self.shared = Some(Shared { url, clients });
        self.configure("@every 1s")
    }

    /// Writes the config with that line for the schedules, for each engine there is.
    pub(crate) fn configure(&self, every: &str) -> Outcome {
        let text = include_str!("../engine.toml").replace("SANDBOX", &self.sandbox.base_url()).replace("EVERY", every);
        let Some(Shared { url, clients }) = &self.shared else {
            return Ok(std::fs::write(self.path("config.toml"), text)?);
        };
        for node in 0..clients.len() {
            let (config, socket) = config_of(node);
            let own = format!("url = \"{url}\"\nnode = \"node-{node}\"\nlease = \"{LEASE_S}s\"");
            let text = text.replace("url = \"sqlite://store/tidings.db\"", &own).replace("engine.sock", &socket);
            std::fs::write(self.path(&config), text)?;
        }
        Ok(())
    }

    /// Starts one of the engines that share a store.
    pub(crate) fn spawn_node(&self, node: usize) -> Outcome<Engine> {
        Engine::spawn(&self.binary, self.folder.path(), &config_of(node).0, &[])
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder of the store, and of nothing else.
    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    pub(crate) fn control(&self) -> &Control {
        self.sandbox.control()
    }

    /// The shim of a scenario that has one.
    pub(crate) fn shim(&self) -> Outcome<&Shim> {
        self.shim.as_ref().ok_or_else(|| Trouble::new("this scenario has no shim"))
    }

    /// Shifts the engine's wall clock against ours, and with it the times that the load names.
    pub(crate) fn shift_clock(&self, ms: i64) -> Outcome {
        self.ledger.look().shift_ms = ms;
        self.shim()?.shift_clock(ms)
    }

    /// Starts the engine, under the shim if there is one.
    pub(crate) fn spawn(&self, journal: Option<&Path>, deaf: bool) -> Outcome<Engine> {
        let variables = self.shim.as_ref().map(|shim| shim.variables(journal, deaf)).unwrap_or_default();
        Engine::spawn(&self.binary, self.folder.path(), "config.toml", &variables)
    }

    /// Starts the engine and waits until it answers.
    pub(crate) async fn run(&self) -> Outcome<Engine> {
        let mut engine = self.spawn(None, false)?;
        engine.ready(&self.client).await?;
        Ok(engine)
    }

    /// What the engines said, for a look at panics.
    pub(crate) fn log(&self) -> String {
        let log = std::fs::read(self.path("engine.log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// All messages in a state, or all.
    pub(crate) async fn messages(&self, state: Option<&str>) -> Outcome<Vec<Message>> {
        let query: Vec<(&'static str, String)> = state.map(|state| ("state", state.to_owned())).into_iter().collect();
        pages(query, |query| async move { self.client.messages(&query).await }).await
    }

    /// Compares everything as it stands.
    pub(crate) async fn compare(&self, report: &mut Report, at_rest: bool, clock_moved: bool) -> Outcome {
        let ledger = self.ledger.snapshot();
        let credentials = pages(Vec::new(), |query| async move { self.client.credentials(&query).await }).await?;
        let credentials: HashSet<String> = credentials.into_iter().map(|credential| credential.id).collect();
        let mut stored = Vec::new();
        for message in self.messages(None).await? {
            let lane = Lane::from_name(&message.channel)
                .ok_or_else(|| Trouble::new(format!("a message of the channel `{}`", message.channel)))?;
            let Message { id, to, state, reason, run, .. } = message;
            stored.push(Stored { id, lane, to, state, reason: reason.unwrap_or_default(), run });
        }
        let runs: Vec<Run> = pages(Vec::new(), |query| async move { self.client.runs(&query).await }).await?;
        let arrivals = self.arrivals()?;
        let seen = Seen {
            ledger: &ledger,
            stored: &stored,
            credentials: &credentials,
            runs: &runs,
            arrivals: &arrivals,
            audience: AUDIENCE,
            at_rest,
            clock_moved,
        };
        compare(&seen, report);
        Ok(())
    }

    fn arrivals(&self) -> Outcome<Vec<Arrival>> {
        let lane_of = |template: &str| Lane::ALL.into_iter().find(|lane| lane.template_id() == template);
        let arrival = |delivery: tidings_wechat_sandbox::Delivery| {
            let lane = lane_of(&delivery.template_id)
                .ok_or_else(|| Trouble::new(format!("a delivery of the template `{}`", delivery.template_id)))?;
            let number = delivery.client_msg_id.as_deref().and_then(|id| id.rsplit_once('-')).map(|(_, number)| number);
            Ok(Arrival {
                lane,
                order: lane.order_of(&delivery.data).to_owned(),
                message: number.map(|number| format!("msg_{number}")),
                credential: delivery.credential,
            })
        };
        self.control().deliveries(0).into_iter().map(arrival).collect()
    }
}

/// Every row of a list, page by page.
async fn pages<T: Serialize + DeserializeOwned, F>(
    mut query: Vec<(&'static str, String)>,
    ask: impl Fn(Vec<(&'static str, String)>) -> F,
) -> Outcome<Vec<T>>
where
    F: Future<Output = Result<Page<T>, ClientError>>,
{
    query.push(("limit", PAGE.to_owned()));
    let first = query.len();
    let mut rows = Vec::new();
    loop {
        let page = ask(query.clone()).await?;
        rows.extend(page.items);
        let Some(next) = page.next else { return Ok(rows) };
        query.truncate(first);
        query.push(("cursor", next));
    }
}
