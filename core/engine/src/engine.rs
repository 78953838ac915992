//! Starting and stopping: what is spawned in which order, and how it ends.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidings_model::limits::TICK_CHANGES_MAX;
use tidings_model::retry::Backoff;
use tidings_model::settle::rescue;
use tidings_model::{Attempt, Clock, OnUnknown, Policy, State, Timestamp, WebhookName};
use tidings_store::{
    Batch, ChannelId, ChannelState, Committed, Ids, LaneRow, NodeName, Orphan, Reader, Settle, StoreError, Writer,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::acts::By;
use crate::agreement::{Agreement, Offset};
use crate::clock::random;
use crate::config::Config;
use crate::definitions::{self, Definitions};
use crate::events::{Ring, Watch, Whose, changes};
use crate::handle::{EngineHandle, Shared};
use crate::http::Http;
use crate::jobs::Jobs;
use crate::keys::Keys;
use crate::lanes::Lanes;
use crate::measure::Measures;
use crate::mint::Minter;
use crate::nodes::{Accord, CompareConfigs};
use crate::pipeline::Pipeline;
use crate::reach::Forecaster;
use crate::retention::Retention;
use crate::scheduler::{ScheduleDesk, Scheduler};
use crate::signposts::Surveyor;
use crate::stock::StockWatch;
use crate::telemetry::{Exporter, Telemetry};
use crate::webhooks::{Couriers, Desk, Mail, notices};
use crate::writer::{Neighbours, SharedLanes, WriterHandle, WriterRuntime, WriterTask, look};

/// How long a stop waits behind its grace period for the last outcomes to be written and the store to be closed.
const LAST_WAIT: Duration = Duration::from_secs(3);

/// Why an engine does not start, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The HTTP client cannot be made: no TLS roots, say.
    #[error("make the HTTP client")]
    Http(#[source] reqwest::Error),
    /// The writer gets no thread.
    #[error("start a thread for the writer")]
    Thread(#[source] io::Error),
    /// The task that writes is gone, and with it the engine: a broken invariant, told in the log.
    #[error("the engine broke down: its writer ended by itself; the next start settles what was on its way")]
    Broken,
    /// The store was away when the engine stopped, and what was known could not be written.
    #[error("stop: the store did not answer in time; the next start settles what was on its way")]
    Unwritten,
}

/// A running engine. Drop it without [`Engine::stop`] and it stops as by a crash: nothing is lost, and the next start
/// settles what was on its way.
#[derive(Debug)]
pub struct Engine {
    handle: EngineHandle,
    stop: watch::Sender<bool>,
    stop_writer: watch::Sender<bool>,
    in_flight: watch::Receiver<u32>,
    lanes: SharedLanes,
    writer: JoinHandle<Result<(), StoreError>>,
    scheduler: JoinHandle<()>,
    exporter: Option<Exporter>,
    couriers: JoinHandle<()>,
}

/// What a stop left for the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Left {
    /// On their way when the grace period was over: the next start settles them.
    pub sending: u32,
    /// Due.
    pub queued: i64,
    /// Waiting for a credential.
    pub waiting: i64,
    /// For later.
    pub scheduled: i64,
}

impl Engine {
    /// Starts: opens the store, settles what a crash left, then begins to claim.
    pub async fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Engine, EngineError> {
        Engine::begin(config, clock, None).await
    }

    /// The same with every channel of config paused before anything is settled or claimed: an operator's pause, which lasts
    /// until one resumes it.
    pub async fn start_paused(config: Config, clock: Arc<dyn Clock>, by: &By) -> Result<Engine, EngineError> {
        Engine::begin(config, clock, Some(by)).await
    }

    async fn begin(config: Config, clock: Arc<dyn Clock>, paused: Option<&By>) -> Result<Engine, EngineError> {
        let config = Arc::new(config);
        let http = Http::new().map_err(EngineError::Http)?;
        let runtime = WriterRuntime::new(config.store.file().is_none()).map_err(EngineError::Thread)?;
        let (url, node) = (config.store.url(), node_name(&config));
        let (mut store, reader) = runtime.run(async move { tidings_store::open_as(&url, node).await }).await?;
        let ids = definitions::number(&mut store, &config).await?;
        let keys = Arc::new(Keys::new(store.keys().await?));
        if let Some(by) = paused {
            pause_all(&mut store, &ids, by, clock.now()).await?;
        }
        let (states, halts, tokens) = (store.channel_states().await?, store.halts().await?, store.tokens().await?);

        let (telemetry, exporter) = match &config.telemetry {
            Some(address) => {
                let (telemetry, exporter) = Exporter::start(address, store.instance()).map_err(EngineError::Http)?;
                (telemetry, Some(exporter))
            }
            None => (Telemetry::default(), None),
        };
        let instance = store.instance().to_owned();
        let (writer, inbox) = WriterHandle::new(store.has_intakes());
        let measures = Arc::<Measures>::default();
        let keepers = definitions::keepers(&config, None, tokens, &http, &writer, &telemetry, &clock);
        let definitions = Arc::new(Definitions::new(config, ids, keepers));
        let lanes: SharedLanes = Arc::new(Mutex::new(Lanes::new(&definitions, &states, halts)));
        let (redefine, present) = watch::channel(Arc::clone(&definitions));
        let mail = Mail {
            desk: Arc::new(Desk::new(store.webhooks().await?, store.pending())),
            http: http.clone(),
            reader: reader.clone(),
            writer: writer.clone(),
            clock: Arc::clone(&clock),
            instance: Arc::from(store.instance()),
        };
        let (agreed, accord) = Accord::at_start(&reader.nodes().await?, store.lease().node());
        let lets_go = accord.holds_for(&definitions.config);
        if lets_go {
            forget_webhooks(&mut store, &definitions.config).await?;
        } else {
            tell_unknown_webhooks(&store, &definitions.config);
        }
        let pipeline = Arc::new(Pipeline {
            present: present.clone(),
            http,
            writer: writer.clone(),
            telemetry: telemetry.clone(),
            clock: Arc::clone(&clock),
            lease: store.lease(),
            instance: instance.clone(),
        });
        let ring = Arc::new(Ring::new(clock.now()));
        settle_orphans(&mut store, &pipeline, &*clock, &definitions, &ring, lets_go).await?;
        mail.desk.set_pending(store.pending());
        let spare = Offset::of(&store.lease(), clock.now()).is_some_and(Offset::is_off);
        store.commit(&Batch { now: clock.now(), wake_all: true, spare, ..Batch::default() }).await?;

        tell_forgotten(&definitions.config, &reader).await?;
        let jobs = Arc::new(Jobs {
            present: present.clone(),
            reader: reader.clone(),
            writer: writer.clone(),
            clock: Arc::clone(&clock),
            http: mail.http.clone(),
            lanes: Arc::clone(&lanes),
            backing_up: Arc::default(),
            looking: tokio::sync::Mutex::default(),
            under_way: Mutex::default(),
        });
        let (stop, stopped) = watch::channel(false);
        let (stop_writer, writer_stopped) = watch::channel(false);
        let (in_flight_sender, in_flight) = watch::channel(0);
        let (schedule_desk, asks) = ScheduleDesk::new();
        let scheduler = Scheduler {
            present: present.clone(),
            reader: reader.clone(),
            unfinished: reader.unfinished_runs().await?,
            asks,
            jobs: Arc::clone(&jobs),
            measures: Arc::clone(&measures),
            clock: Arc::clone(&clock),
            is_shared: store.is_shared(),
            accord: accord.clone(),
            stop: stopped,
        };
        let (minter, mint_desk) =
            Minter::new(present.clone(), reader.clone(), writer.clone(), Arc::clone(&clock), stop.subscribe());
        let watch = Watch {
            present: present.clone(),
            lanes: Arc::clone(&lanes),
            writer: writer.clone(),
            clock: Arc::clone(&clock),
            stop: stop.subscribe(),
        };
        let lease = store.lease();
        let task = WriterTask {
            neighbours: Neighbours::new(&store, Arc::clone(&keys), accord, !lets_go),
            store,
            inbox,
            lanes: Arc::clone(&lanes),
            redefine,
            pipeline,
            runtime: Arc::clone(&runtime),
            ring: Arc::clone(&ring),
            desk: Arc::clone(&mail.desk),
            mint_desk,
            clock: Arc::clone(&clock),
            measures: Arc::clone(&measures),
            retention: Retention::new(definitions.config.keep, clock.now()),
            agreement: Agreement::default(),
            keep_all_until: None,
            look_for_room_at: Some(clock.now()),
            in_flight: in_flight_sender,
            stop: writer_stopped,
        };
        // It ends by itself when the engine stops; what it was about is asked for again at the next start.
        drop(tokio::spawn(minter.run()));
        drop(tokio::spawn(watch.run()));
        let surveyor = Surveyor { reader: reader.clone(), writer: writer.clone(), stop: stop.subscribe() };
        drop(tokio::spawn(surveyor.run()));
        let couriers =
            Couriers { lease: lease.clone(), mail: mail.clone(), present: present.clone(), stop: stop.subscribe() };
        let couriers = tokio::spawn(couriers.run());
        let writer_join = runtime.spawn(task.run());
        let scheduler = tokio::spawn(scheduler.run());
        let started_at = clock.now();
        let backing_up = Arc::clone(&jobs.backing_up);
        let shared = Shared {
            present,
            lanes: Arc::clone(&lanes),
            keys,
            ring,
            mail,
            reader,
            writer,
            lease,
            schedule_desk,
            clock,
            started_at,
            reloading: tokio::sync::Mutex::default(),
            backing_up,
            jobs,
            forecaster: Forecaster::default(),
            measures,
            telemetry,
            instance,
            _runtime: runtime,
        };
        let handle = EngineHandle { shared: Arc::new(shared) };
        drop(tokio::spawn(CompareConfigs { handle: handle.clone(), agreed, stop: stop.subscribe() }.run()));
        drop(tokio::spawn(StockWatch { handle: handle.clone(), stop: stop.subscribe() }.run()));
        Ok(Engine { handle, stop, stop_writer, in_flight, lanes, writer: writer_join, scheduler, couriers, exporter })
    }

    /// What others may ask of it.
    pub fn handle(&self) -> EngineHandle {
        self.handle.clone()
    }

    /// Waits until the engine breaks down. It never should: whoever runs one ends with it, so that what watches over the
    /// program starts it again instead of keeping an API that nothing stands behind.
    pub async fn broken(&mut self) -> EngineError {
        match (&mut self.writer).await {
            Ok(Err(error)) => error.into(),
            Ok(Ok(())) | Err(_) => EngineError::Broken,
        }
    }

    /// Stops: claims nothing more, waits for what is on its way at most `grace`, writes what it knows, and says what
    /// it left. Where the store does not answer it ends with the grace period all the same.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unwritten`] if the store did not take what was known; nothing that a crash would keep is lost then.
    pub async fn stop(self, grace: Duration) -> Result<Left, EngineError> {
        let deadline = tokio::time::Instant::now() + grace;
        look(&self.lanes).draining = true;
        self.stop.send_replace(true);
        // A transaction under way may still claim: once the writer has answered this, nothing new is claimed, and what
        // the watch says is all there is.
        match tokio::time::timeout_at(deadline, self.handle.shared.writer.barrier()).await {
            Ok(Ok(())) => {}
            Ok(Err(refusal)) => tracing::warn!("{refusal}"),
            Err(_) => return Err(EngineError::Unwritten),
        }
        let mut in_flight = self.in_flight;
        // The writer may be asleep with outcomes still to come: its watch moves with each transaction.
        let drained = in_flight.wait_for(|count| *count == 0);
        if tokio::time::timeout_at(deadline, drained).await.is_err() {
            tracing::warn!("the grace period is over with messages still on their way");
        }
        if tokio::time::timeout_at(deadline + Duration::from_secs(1), self.scheduler).await.is_err() {
            tracing::warn!("a job did not stop in time; it goes on at the next start");
        }
        if tokio::time::timeout_at(deadline, self.couriers).await.is_err() {
            tracing::info!("a webhook did not answer in time; it is told again at the next start, under the same id");
        }
        // What came last is written behind the grace period, if need be.
        let last = deadline + LAST_WAIT;
        let counts = tokio::time::timeout_at(last, self.handle.counts()).await;
        let counts = counts.map(Result::unwrap_or_default).unwrap_or_default();
        let sending = look(&self.lanes).in_flight();
        self.stop_writer.send_replace(true);
        match tokio::time::timeout_at(last, self.writer).await {
            Ok(Ok(closed)) => closed?,
            Ok(Err(error)) => tracing::error!("the writer ended badly: {error}"),
            Err(_) => return Err(EngineError::Unwritten),
        }
        // Whoever reads along is told everything first.
        self.handle.shared.ring.close();
        if let Some(exporter) = self.exporter {
            exporter.stop().await;
        }
        let sum = |state| counts.messages.iter().filter(|(_, of, _)| *of == state).map(|(_, _, count)| count).sum();
        Ok(Left { sending, queued: sum(State::Queued), waiting: sum(State::Waiting), scheduled: sum(State::Scheduled) })
    }
}

/// How this engine is known to others that share its store.
fn node_name(config: &Config) -> NodeName {
    NodeName {
        name: config.node.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        address: config.api.listen.map(|address| address.to_string()),
        lease: config.node.lease,
    }
}

/// Pauses the channels that nobody has paused yet, in the store.
async fn pause_all(store: &mut Writer, ids: &Ids, by: &By, now: Timestamp) -> Result<(), StoreError> {
    let mut states = store.channel_states().await?;
    let mut batch = Batch { now, ..Batch::default() };
    for (name, id) in &ids.channels {
        let state = states.remove(id).unwrap_or_default();
        if state.paused.is_none() {
            let paused = Some((now, by.note("paused")));
            batch.lanes.push(LaneRow { channel: *id, state: ChannelState { paused, ..state } });
            batch.records.push(by.entry("channel.pause", name.as_str()).into());
        }
    }
    store.commit(&batch).await?;
    tracing::warn!(
        channels = ids.channels.len(),
        "every channel is paused, and nothing is sent before it is resumed: look at what waits (`tidings messages list`), \
         then `tidings channels resume NAME`"
    );
    Ok(())
}

/// Settles what a crash left in the middle of an attempt, before anything else is claimed.
async fn settle_orphans(
    store: &mut Writer,
    pipeline: &Pipeline,
    clock: &dyn Clock,
    definitions: &Definitions,
    ring: &Ring,
    lets_go: bool,
) -> Result<(), StoreError> {
    // By a clock that is off nobody says whether a window is open: once it is in step they are found.
    if Offset::of(&store.lease(), clock.now()).is_some_and(Offset::is_off) {
        return Ok(());
    }
    let orphans = orphans(store, definitions, lets_go).await?;
    if orphans.is_empty() {
        return Ok(());
    }
    tracing::warn!(count = orphans.len(), "messages were on their way when the engine stopped; settling them");
    for slice in orphans.chunks(TICK_CHANGES_MAX) {
        let settles = slice.iter().map(|orphan| settle_orphan(pipeline, clock, orphan)).collect();
        let batch = Batch { now: clock.now(), settles, ..Batch::default() };
        let whose: Vec<Whose> = slice
            .iter()
            .map(|Orphan { template, recipient, .. }| Whose {
                template: *template,
                recipient: recipient.clone(),
                trace: None,
            })
            .collect();
        let happened = |committed: &Committed| changes(&batch, &whose, &[], committed, &definitions.names);
        let tell = |committed: &Committed| notices(&definitions.config, &happened(committed));
        let committed = match store.commit_and_tell(&batch, tell).await {
            Err(error) if error.is_full() => {
                // What was set aside is for them.
                store.release_ballast();
                store.commit_and_tell(&batch, tell).await?
            }
            done => done?,
        };
        ring.append(happened(&committed));
    }
    Ok(())
}

/// What a crash left. Unless this engine may let go of what its config does not name, of the channels that it names.
pub(crate) async fn orphans(
    store: &mut Writer,
    definitions: &Definitions,
    lets_go: bool,
) -> Result<Vec<Orphan>, StoreError> {
    if lets_go {
        return store.orphans().await;
    }
    let known: Vec<ChannelId> = definitions.channels.keys().copied().collect();
    store.orphans_of(&known).await
}

/// What follows for a message that an engine left in the middle of an attempt.
pub(crate) fn settle_orphan(pipeline: &Pipeline, clock: &dyn Clock, orphan: &Orphan) -> Settle {
    pipeline.rescue(orphan).unwrap_or_else(|| forsake(orphan, clock))
}

/// What waits for a webhook that config no longer has is told to nobody: it is forgotten, and that is told.
pub(crate) async fn forget_webhooks(store: &mut Writer, config: &Config) -> Result<(), StoreError> {
    for webhook in unknown_webhooks(store, config) {
        let count = store.forget_notices(&webhook).await?;
        if count > 0 {
            tracing::warn!(%webhook, count, "config no longer has this webhook; what waited for it is forgotten");
        }
    }
    Ok(())
}

/// As long as another engine's config may have them, what waits for them stays.
fn tell_unknown_webhooks(store: &Writer, config: &Config) {
    for webhook in unknown_webhooks(store, config) {
        tracing::warn!(
            %webhook,
            "config does not have this webhook, and another engine is there whose config may: what waits for it stays until \
             both have gone by the same config for a while"
        );
    }
}

/// Webhooks that something waits for and config does not have.
fn unknown_webhooks(store: &Writer, config: &Config) -> Vec<WebhookName> {
    store.pending().keys().filter(|name| !config.webhooks.contains_key(*name)).cloned().collect()
}

/// Messages of a channel that config no longer has go nowhere: somebody should know.
pub(crate) async fn tell_forgotten(config: &Config, reader: &Reader) -> Result<(), StoreError> {
    for (channel, state, count) in reader.counts().await?.messages {
        if count > 0 && !state.is_terminal() && !config.channels.contains_key(channel.as_str()) {
            tracing::warn!(
                channel,
                count,
                "{count} messages are {state} in a channel that config no longer has; put it back, or cancel them"
            );
        }
    }
    Ok(())
}

/// An orphan whose channel config no longer has: nobody can send it again, and nobody can say whether it arrived.
fn forsake(orphan: &Orphan, clock: &dyn Clock) -> Settle {
    let policy = Policy { attempts_max: 1, backoff: Backoff::default(), on_unknown: OnUnknown::Stop };
    let attempt = Attempt {
        number: orphan.attempts.saturating_add(1),
        rescues: orphan.rescues,
        ambiguous: orphan.ambiguous,
        credential: None,
        dedupe_until: None,
        expires_at: None,
    };
    let now = clock.now();
    Settle {
        message: orphan.message,
        generation: orphan.generation,
        channel: orphan.channel,
        started_at: orphan.claimed_at,
        ended_at: now,
        outcome: "crashed",
        settlement: rescue(&attempt, &policy, now, random()),
        rescued: true,
    }
}
