//! `tidings run`: the engine, its API, and how both stop.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tidings_api::client::{Address, Client};
use tidings_api::server::{self, LocalSocket, SocketError, Tls};
use tidings_engine::config::{World, beside_store};
use tidings_engine::{By, Config, ConfigOrigin, Engine, EngineHandle, Left, Look, Problem, Registry, SystemClock};
use tidings_host::PluginFile;
use tidings_sdk::Plugin;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing_subscriber::filter::LevelFilter;

use crate::args::RunArgs;
use crate::{Failure, Outcome, logging, plugin, screen};

/// Every plugin that is built in.
pub(crate) fn built_in() -> [Plugin; 1] {
    [tidings_wechat::plugin()]
}

/// The plugins that are built in, for the engine.
pub(crate) fn registry() -> Registry {
    Registry::new(built_in())
}

/// Reads the config so that it can be read again while the engine runs.
fn load_again(path: &Path) -> Result<Config, Failure> {
    let mut config = load(path, &plugin::world())?;
    let path = path.to_path_buf();
    config.origin = Some(ConfigOrigin::new(move |loaded, look| {
        let world = match look {
            Look::ToUse => plugin::world(),
            Look::Only => plugin::world_looking_on(),
        };
        let again = |file: &PluginFile| plugin::loaded_or(loaded, file, world.load_plugin);
        Config::load(&path, &registry(), &World { load_plugin: &again, ..world })
    }));
    Ok(config)
}

/// Reads the config, or says on standard error what is wrong with it.
pub(crate) fn load(path: &Path, world: &World<'_>) -> Result<Config, Failure> {
    Config::load(path, &registry(), world).map_err(|problems| tell(&problems))
}

/// Reads the text of a config whose relative paths start at `folder`.
pub(crate) fn load_text(name: &str, text: &str, folder: &Path, world: &World<'_>) -> Result<Config, Failure> {
    Config::read(name, text, folder.to_path_buf(), &registry(), world).map_err(|problems| tell(&problems))
}

/// Says every mistake on standard error.
fn tell(problems: &[Problem]) -> Failure {
    for problem in problems {
        eprintln!("{problem}");
    }
    Failure::Usage(String::new())
}

pub(crate) async fn run(path: &Path, args: RunArgs) -> Outcome {
    let config = load_again(path)?;
    for note in &config.notes {
        eprintln!("note: {note}");
    }
    let format = logging::format(args.log_format, config.log)?;
    if args.tui {
        let log = beside_store(config.store.file(), &config.folder, "log");
        logging::to_file(&log, LevelFilter::INFO, format)?;
    } else {
        logging::to_stderr(LevelFilter::INFO, format)?;
    }
    let grace = config.grace;
    let scheme = if config.api.tls.is_some() { "https" } else { "http" };
    // Before anybody can know that the engine is there: a signal from then on is a request to stop, not the end.
    let mut stop = StopSignals::listen()?;
    // Of a screen it says that the terminal is gone, and the screen hears it itself.
    let mut hangup = if args.tui { None } else { Some(signal(SignalKind::hangup())?) };
    let begin = if args.paused { Begin::Paused } else { Begin::AsItWas };
    let mut running = Running::start(config, begin).await?;
    let tcp = running.tcp.map_or_else(|| "no TCP port".to_owned(), |address| format!("{scheme}://{address}"));
    tracing::info!("tidings runs; its API is on the socket {} and {tcp}", running.socket.display());
    if args.tui {
        let client = Client::new(Address::Socket(running.socket.clone()), None)?;
        // The screen hears the signals itself: one of them closes it.
        let screen = tokio::select! {
            screen = screen::show(client) => screen,
            error = running.engine.broken() => return Err(error.into()),
        };
        let left = running.stop_unless_again(grace, StopSignals::listen()?).await?;
        eprintln!("{}", told(left));
        return screen;
    }
    let handle = running.engine.handle();
    loop {
        tokio::select! {
            () = stop.recv() => break,
            Some(()) = heard(&mut hangup) => reload(&handle).await,
            error = running.engine.broken() => return Err(error.into()),
        }
    }
    tracing::info!(grace_s = grace.as_secs(), "stopping; a second signal ends at once");
    let left = running.stop_unless_again(grace, stop).await?;
    eprintln!("{}", told(left));
    Ok(())
}

/// The next signal, if anybody listens for it.
async fn heard(signal: &mut Option<Signal>) -> Option<()> {
    match signal {
        Some(signal) => signal.recv().await,
        None => std::future::pending().await,
    }
}

/// Reads config again because somebody hung up, and tells the log what came of it. Values stay out of the log.
async fn reload(engine: &EngineHandle) {
    let reloaded = match By::new("SIGHUP", None) {
        Ok(by) => engine.reload(Look::ToUse, &by).await,
        Err(refusal) => Err(refusal),
    };
    match reloaded {
        Ok(reloaded) if reloaded.changes.is_empty() => tracing::info!("config was read again; nothing differs"),
        Ok(reloaded) => {
            for note in &reloaded.notes {
                tracing::warn!("{note}");
            }
            let settings: Vec<&str> = reloaded.changes.iter().map(|change| change.setting.as_str()).collect();
            tracing::info!("config was read again; these settings differ, and are in force: {}", settings.join(", "));
        }
        Err(refusal) => tracing::error!("config was read again and is not used: {refusal}"),
    }
}

/// What a stop left, for people.
pub(crate) fn told(left: Left) -> String {
    let Left { sending, queued, waiting, scheduled } = left;
    let interrupted = match sending {
        0 => "nothing was interrupted".to_owned(),
        n => format!("{n} were still on their way and are settled at the next start"),
    };
    format!(
        "stopped: {interrupted}; left for the next start: {queued} queued, {waiting} waiting, {scheduled} scheduled"
    )
}

/// How channels are at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// As the store has them.
    AsItWas,
    /// All paused.
    Paused,
}

/// An engine with its API.
pub(crate) struct Running {
    engine: Engine,
    pub(crate) socket: PathBuf,
    pub(crate) tcp: Option<std::net::SocketAddr>,
    stop: watch::Sender<bool>,
    servers: Vec<JoinHandle<()>>,
}

impl Running {
    /// Starts both. The addresses are taken first: a port that is in use is known before anything is claimed.
    pub(crate) async fn start(config: Config, begin: Begin) -> Result<Running, Failure> {
        let api = config.api.clone();
        let tcp = match api.listen {
            Some(address) => {
                let listener = TcpListener::bind(address).await.map_err(|error| {
                    Failure::Failed(format!("listen on {address}: {error}; change `[api] listen`, or stop who has it"))
                })?;
                Some(listener)
            }
            None => None,
        };
        let socket = LocalSocket::bind(&api.socket).await.map_err(|error| no_socket(&config, &error))?;
        if let Some(address) = api.listen.filter(|address| api.tls.is_none() && !address.ip().is_loopback()) {
            tracing::warn!(
                %address,
                "the API is open to the network without TLS, and so are the keys of its callers: set `[api] tls`, or put \
                 a TLS proxy before it"
            );
        }
        make_room_for(api.limits.connections);
        let tls = api.tls.as_ref().map(|files| Tls::open(&files.cert, &files.key)).transpose()?;
        let clock = Arc::new(SystemClock);
        let engine = match begin {
            Begin::AsItWas => Engine::start(config, clock).await?,
            Begin::Paused => {
                let by = By::new("local", Some("started by `tidings run --paused`".to_owned()));
                Engine::start_paused(config, clock, &by.expect("the reason is short")).await?
            }
        };
        let (stop, stopped) = watch::channel(false);
        let mut servers = Vec::new();
        let calls = server::Calls::local(engine.handle(), api.limits);
        servers.push(tokio::spawn(server::serve_socket(socket, calls, api.limits, stopped.clone())));
        let mut address = None;
        if let Some(listener) = tcp {
            address = listener.local_addr().ok();
            let calls = server::Calls::keyed(engine.handle(), api.limits);
            servers.push(tokio::spawn(server::serve_tcp(listener, calls, api.limits, tls, stopped)));
        }
        Ok(Running { engine, socket: api.socket, tcp: address, stop, servers })
    }

    /// Stops, unless a second signal ends the program first.
    async fn stop_unless_again(self, grace: Duration, mut again: StopSignals) -> Result<Left, Failure> {
        tokio::select! {
            left = self.stop(grace) => left,
            () = again.recv() => {
                let text = "ended by a second signal; the next start settles what was on its way";
                Err(Failure::Failed(text.to_owned()))
            }
        }
    }

    /// Stops both: the engine first, so that whoever asks meanwhile is told that it stops.
    pub(crate) async fn stop(self, grace: Duration) -> Result<Left, Failure> {
        let left = self.engine.stop(grace).await;
        self.stop.send_replace(true);
        for server in self.servers {
            // A connection that is kept open idle does not hold the end up.
            drop(tokio::time::timeout(Duration::from_secs(1), server).await);
        }
        Ok(left?)
    }
}

/// Why there is no socket, and what to do. Of a store in a file, too, there is one engine: where another answers, its store is
/// taken as well as a rule.
fn no_socket(config: &Config, error: &SocketError) -> Failure {
    let advice = match error {
        SocketError::Taken { .. } if config.store.file().is_some() => {
            "stop it, or give this one another store and another `[api] socket`"
        }
        SocketError::Taken { .. } => "give this one its own place with `[api] socket`",
        SocketError::NoSocket => "it is left alone; name another place with `[api] socket`",
        SocketError::Refused(_) => "is its folder there and writable, and its path under 108 bytes?",
    };
    Failure::Failed(format!("listen on the socket {}: {error}; {advice}", config.api.socket.display()))
}

/// Files beside the API's connections: the store's, the providers' connections, plugins.
const OTHER_FILES: u64 = 512;

/// Raises the bound on open files to what the API's connections may need, as far as the system lets us.
fn make_room_for(connections: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    // The local socket and the TCP port count for themselves.
    let needed = connections as u64 * 2 + OTHER_FILES;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return;
    }
    let allowed = maximum.map_or(needed, |maximum| maximum.min(needed));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), maximum });
    if raised.is_err() || allowed < needed {
        tracing::warn!(
            needed,
            allowed,
            "the system allows fewer open files than the API's connections may need; raise the limit (`ulimit -n`), or \
             lower `[api.limits] connections`"
        );
    }
}

/// What asks the program to stop.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn listen() -> std::io::Result<StopSignals> {
        Ok(StopSignals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
