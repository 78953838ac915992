//! The writer task: gathers what happened, commits it in one transaction, answers, and sends on their way the messages
//! it claimed.
//!
//! There is no timer: while one transaction is being synced, the next gathers by itself. An outcome is never dropped:
//! if the store does not take it, it is tried again with the next transaction until it does.

mod gathered;
mod intake;
mod neighbours;
mod queue;
mod runtime;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tidings_model::limits::TICK_CHANGES_MAX;
use tidings_model::retry::{Backoff, delay};
use tidings_model::{AppName, Clock, State, Timestamp};
use tidings_store::{AppHalt, Batch, ChannelId, Committed, LaneRow, Record, Settle, StoreError, Sweep, Writer};
use tokio::sync::{mpsc, watch};

use self::gathered::Gathered;
use self::intake::Intakes;
pub(crate) use self::neighbours::Neighbours;
pub(crate) use self::queue::{Deed, Fetch, Finished, Taken, WriterHandle};
use self::queue::{Inbox, Pause};
pub(crate) use self::runtime::WriterRuntime;
use crate::agreement::{Agreement, Offset};
use crate::clock::{Pace, Step, random};
use crate::config::Config;
use crate::definitions::{self, Definitions};
use crate::events::{Besides, EventKind, Ring, What, Whose, changes};
use crate::lanes::{Applied, Lanes};
use crate::measure::{Measures, Seat};
use crate::mint::MintDesk;
use crate::pipeline::Pipeline;
use crate::refusal::Refusal;
use crate::retention::Retention;
use crate::webhooks::{Desk, notices};

/// The longest sleep: a wall clock that was set is noticed within it.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// How often others are let run while a transaction is gathered.
const GATHER_TURNS_MAX: u32 = 16;
/// Between transactions that failed.
const FAILURE_BACKOFF: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(5) };

/// Between two tries to claim what others may have the places for. Each try in vain costs them some of their time: it
/// doubles from one to the next.
const CLAIMS_REST: Backoff = Backoff { base: Duration::from_millis(20), cap: Duration::from_millis(160) };

/// Between two looks whether a disk that was full has room.
const ROOM_WAIT: Duration = Duration::from_secs(1);

/// How long nothing is removed by age after the clock jumped ahead.
const KEEP_AFTER_JUMP: Duration = Duration::from_secs(3600);

/// Tries to write the last outcomes after a stop, if the store does not take them. The next start settles the rest.
const LAST_TRIES_MAX: u32 = 10;

/// The channels at work, shared.
pub(crate) type SharedLanes = Arc<Mutex<Lanes>>;

/// A look at the channels. Never held across an await.
pub(crate) fn look(lanes: &SharedLanes) -> MutexGuard<'_, Lanes> {
    lanes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The task.
pub(crate) struct WriterTask {
    pub(crate) store: Writer,
    pub(crate) inbox: Inbox,
    pub(crate) lanes: SharedLanes,
    /// Where other definitions are told to everybody.
    pub(crate) redefine: watch::Sender<Arc<Definitions>>,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) runtime: Arc<WriterRuntime>,
    /// Whoever reads along finds there what happened.
    pub(crate) ring: Arc<Ring>,
    /// The couriers of webhooks are told there that something waits for them.
    pub(crate) desk: Arc<Desk>,
    /// Who waits for a permit that may be minted is told there.
    pub(crate) mint_desk: MintDesk,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) measures: Arc<Measures>,
    pub(crate) retention: Retention,
    /// The clock jumped ahead: nothing is removed by age before this, so that a clock that is put right again has cost
    /// nothing.
    pub(crate) keep_all_until: Option<Instant>,
    /// When to look whether there is room on the disk; `None` while there is.
    pub(crate) look_for_room_at: Option<Timestamp>,
    /// Other engines that share the store.
    pub(crate) neighbours: Neighbours,
    /// How the clock stands beside theirs.
    pub(crate) agreement: Agreement,
    /// Told after each commit how many messages are on their way.
    pub(crate) in_flight: watch::Sender<u32>,
    /// True when it is time to go: what is in the queue is still written, and nothing new is taken.
    pub(crate) stop: watch::Receiver<bool>,
}

/// What the task remembers from one transaction to the next.
#[derive(Default)]
struct Memory {
    /// Outcomes that the store has not taken yet, and whom their messages are for.
    unsettled: (Vec<Settle>, Vec<Whose>),
    /// What changed of channels and apps, and is not on disk yet. It is in force already.
    unsaved_lanes: Vec<LaneRow>,
    unsaved_apps: Vec<AppHalt>,
    /// And who changed them.
    unsaved_records: Vec<Record>,
    /// What is to be told of it.
    untold: Vec<Besides>,
    /// By how much the clock was set back, as long as the delays were not.
    set_back: Option<Duration>,
    /// Config is another: whoever waits for a credential is asked again.
    wake_all: bool,
    /// A bounded step stopped at its bound.
    more: bool,
    next_due: Option<Timestamp>,
    failures: u32,
    retry_at: Option<Timestamp>,
    /// Nothing could be claimed of what waits, because others have the places, or are just claiming it: nobody asks again
    /// before.
    claims_rest_until: Option<Timestamp>,
    /// How often that was in a row.
    claims_in_vain: u32,
}

impl Memory {
    /// Whether something is in force, or has happened, that is not on disk.
    fn is_unwritten(&self) -> bool {
        !(self.unsettled.0.is_empty() && self.unsaved_lanes.is_empty() && self.unsaved_apps.is_empty())
    }
}

impl WriterTask {
    /// Runs until it is told to stop, writes what is still in the queue, and closes the store.
    pub(crate) async fn run(mut self) -> Result<(), StoreError> {
        let mut memory = Memory { more: true, ..Memory::default() };
        let mut intakes = Intakes::begin(&mut self);
        let arrived = self.store.arrived();
        let (mut open, mut stopping) = (true, false);
        let started = Instant::now();
        let mut pace = Pace::new(self.clock.now(), started.elapsed());
        while open || (memory.is_unwritten() && memory.failures < LAST_TRIES_MAX) {
            let mut gathered = Gathered::default();
            self.inbox.watch.pass();
            self.hear_intakes(&mut memory);
            intakes.look();
            if let Some(step) = pace.step(self.clock.now(), started.elapsed()) {
                self.clock_was_set(step, &mut memory);
            }
            self.compare_clocks();
            // Whoever could say "stop" and is gone has said it.
            if (*self.stop.borrow() || self.stop.has_changed().is_err()) && !stopping {
                stopping = true;
                look(&self.lanes).draining = true;
                // The last tries are counted from here.
                memory.failures = 0;
                self.inbox.receiver.close();
            }
            if !self.is_work_due(&memory) && !self.is_retry_due(&memory) {
                let sleep = self.sleep(&memory);
                let first = tokio::select! {
                    work = self.inbox.receiver.recv(), if open => Some(work),
                    () = tokio::time::sleep(sleep) => None,
                    () = self.neighbours.rung.notified() => {
                        self.look_around(&mut memory, true).await;
                        None
                    }
                    () = arrived.notified() => {
                        self.hear_intakes(&mut memory);
                        None
                    }
                    _ = self.stop.changed(), if !stopping => None,
                };
                match first {
                    Some(Some(work)) => gathered.add(work),
                    Some(None) => open = false,
                    None => {}
                }
            }
            open &= self.gather(&mut gathered).await;
            self.look_around(&mut memory, false).await;
            // While it is known to be full somebody looks each second whether it still is.
            if let Some(full) = gathered.full.take()
                && self.look_for_room_at.is_none()
            {
                self.make_room(&full, self.clock.now());
            }
            for (app, within, reply) in std::mem::take(&mut gathered.fetches) {
                // A caller that no longer waits is none of our business.
                drop(reply.send(self.store.may_fetch(&app, within).await.map_err(Arc::new)));
            }
            for (config, entry, reply) in std::mem::take(&mut gathered.configs) {
                match self.redefine(*config).await {
                    Ok(()) => {
                        memory.wake_all = true;
                        gathered.in_force.push(entry.into());
                        gathered.replies.done.push(reply);
                    }
                    // A caller that no longer waits is none of our business.
                    Err(error) => drop(reply.send(Err(Arc::new(error)))),
                }
            }
            if gathered.size > 0 || self.is_work_due(&memory) || self.is_retry_due(&memory) {
                self.tick(gathered, &mut memory).await;
            }
        }
        intakes.end().await;
        self.store.close().await
    }

    /// Takes over what came beside this.
    fn hear_intakes(&mut self, memory: &mut Memory) {
        if let Some(arrived) = self.store.hear_intakes() {
            memory.next_due = memory.next_due.into_iter().chain(arrived.ahead).min();
            memory.claims_rest_until = None;
        }
    }

    /// Goes on by another config, from the next transaction on: what is on its way ends by the one it began with.
    async fn redefine(&mut self, config: Config) -> Result<(), StoreError> {
        let ids = definitions::number(&mut self.store, &config).await?;
        let (states, tokens) = (self.store.channel_states().await?, self.store.tokens().await?);
        let before = Arc::clone(&self.redefine.borrow());
        let Pipeline { http, writer, telemetry, clock, .. } = &*self.pipeline;
        let keepers = definitions::keepers(&config, Some(&before), tokens, http, writer, telemetry, clock);
        self.retention.keep(config.keep);
        let definitions = Arc::new(Definitions::new(Arc::new(config), ids, keepers));
        look(&self.lanes).redefine(&definitions, &states);
        self.redefine.send_replace(definitions);
        Ok(())
    }

    fn clock_was_set(&mut self, step: Step, memory: &mut Memory) {
        match step {
            Step::Back(by) => {
                tracing::warn!(
                    by_s = by.as_secs(),
                    "the clock was set back; what waits by a delay goes by the new time"
                );
                look(&self.lanes).set_back(by);
                memory.set_back = Some(memory.set_back.unwrap_or_default() + by);
                memory.retry_at = None;
                self.look_for_room_at = self.look_for_room_at.map(|at| at.before(by));
            }
            Step::Ahead(by) => {
                tracing::warn!(by_s = by.as_secs(), "the clock jumped ahead; nothing is removed by age for an hour");
                self.keep_all_until = Some(Instant::now() + KEEP_AFTER_JUMP);
            }
        }
    }

    /// Looks whether the clock agrees with the database's.
    fn compare_clocks(&mut self) {
        let Some(offset) = Offset::of(&self.neighbours.lease, self.clock.now()) else { return };
        let stands = self.agreement.next(offset);
        if stands == self.agreement {
            return;
        }
        self.agreement = stands;
        let problem = self.agreement.problem(offset);
        match (self.agreement, &problem) {
            (_, Some(problem)) => tracing::error!("{problem}"),
            (Agreement::InStep, None) => tracing::info!("this engine's clock agrees with the database's again"),
            (_, None) => tracing::warn!("{offset}; from a few seconds on it decides nothing"),
        }
        look(&self.lanes).clock_problem = problem;
    }

    /// The slice of what is old that is due.
    fn old(&self, now: Timestamp) -> Option<Sweep> {
        // One engine does it for all of them.
        if self.keep_all_until.is_some_and(|until| Instant::now() < until)
            || !self.neighbours.lease.leads()
            || self.agreement == Agreement::Off
        {
            return None;
        }
        self.retention.due(now)
    }

    /// Takes what is there, and lets whoever is ready to run bring more before the transaction begins: it costs about the
    /// same for ten outcomes as for one. No clock has a part in it: when nobody brings anything, nobody is waited for.
    /// False when nothing can come any more.
    async fn gather(&mut self, gathered: &mut Gathered) -> bool {
        for _ in 0..GATHER_TURNS_MAX {
            let before = gathered.size;
            while gathered.size < TICK_CHANGES_MAX {
                match self.inbox.receiver.try_recv() {
                    Ok(work) => gathered.add(work),
                    Err(mpsc::error::TryRecvError::Empty) => break,
                    Err(mpsc::error::TryRecvError::Disconnected) => return false,
                }
            }
            // On a thread of its own there is nobody to let run.
            if self.runtime.is_apart() || gathered.size == before || gathered.size >= TICK_CHANGES_MAX {
                break;
            }
            tokio::task::yield_now().await;
        }
        true
    }

    /// Whether there is something to do without anybody asking.
    fn is_work_due(&self, memory: &Memory) -> bool {
        let now = self.clock.now();
        if memory.retry_at.is_some_and(|at| now < at) {
            return false;
        }
        if let Some(at) = self.look_for_room_at {
            return at <= now;
        }
        if self.agreement == Agreement::Off {
            return memory.wake_all || memory.set_back.is_some();
        }
        let due = memory.next_due.is_some_and(|at| at <= now);
        let is_old = self.old(now).is_some();
        due || is_old
            || memory.more
            || memory.wake_all
            || memory.set_back.is_some()
            || memory.claims_rest_until.is_none_or(|at| at <= now)
                && !look(&self.lanes).claims(now, |channel| self.queued(channel)).is_empty()
    }

    fn is_retry_due(&self, memory: &Memory) -> bool {
        let now = self.clock.now();
        memory.is_unwritten() && memory.retry_at.is_none_or(|at| at <= now)
    }

    fn queued(&self, channel: ChannelId) -> i64 {
        self.store.count(channel, State::Queued)
    }

    fn sleep(&self, memory: &Memory) -> Duration {
        let now = self.clock.now();
        let opening = look(&self.lanes).next_opening(now, |channel| self.queued(channel));
        let sweep_at =
            Some(self.retention.next_at()).filter(|_| self.keep_all_until.is_none_or(|at| at <= Instant::now()));
        let sweep_at = sweep_at.filter(|_| self.neighbours.lease.leads());
        let wake = [memory.next_due, opening, sweep_at, memory.claims_rest_until].into_iter().flatten().min();
        // What it says is due is not looked for.
        let wake = wake.filter(|_| self.agreement != Agreement::Off);
        let wake = self.look_for_room_at.or(wake);
        let wake = memory.retry_at.filter(|at| *at > now).or(wake);
        // Half a millisecond up, so that the wake does not come just before the instant.
        let sleep = wake.map_or(SLEEP_MAX, |at| (at.since(now) + Duration::from_micros(500)).min(SLEEP_MAX));
        if self.store.is_shared() { sleep.min(self.neighbours.wait()) } else { sleep }
    }

    /// Looks whether there is room on the disk: there is when the ballast can be laid. As long as outcomes are not
    /// written the room that it gave up is theirs.
    fn look_for_room(&mut self, memory: &Memory, now: Timestamp) {
        if memory.is_unwritten() || self.look_for_room_at.is_none_or(|at| at > now) {
            return;
        }
        let problem = match self.store.lay_ballast() {
            Ok(()) => None,
            Err(error) if error.is_full() => Some(error),
            Err(error) => {
                tracing::warn!("{}", Refusal::store(&error));
                None
            }
        };
        let mut lanes = look(&self.lanes);
        self.look_for_room_at = problem.is_some().then(|| now.after(ROOM_WAIT));
        let there_is_again = problem.is_none() && lanes.store_problem.is_some();
        lanes.store_problem = problem.map(|problem| problem.to_string());
        drop(lanes);
        if there_is_again {
            self.store_served();
        }
    }

    /// The disk is full: what was set aside is for the outcomes.
    fn make_room(&mut self, error: &StoreError, now: Timestamp) {
        self.store.release_ballast();
        self.look_for_room_at = Some(now.after(ROOM_WAIT));
        look(&self.lanes).store_problem = Some(Refusal::store(error).detail);
    }

    /// The store did something. As long as the disk is full that is what was spared for outcomes.
    fn store_served(&self) {
        if self.look_for_room_at.is_none() {
            self.inbox.watch.served();
        }
    }

    async fn tick(&mut self, mut gathered: Gathered, memory: &mut Memory) {
        let now = self.clock.now();
        self.look_for_room(memory, now);
        if self.look_for_room_at.is_some() {
            gathered.spare(&Arc::new(self.store.full()));
        }
        let Gathered { mut batch, mut whose, mut besides, replies, halts, pauses, in_force, with_firings, .. } =
            gathered;
        let (settles, of) = std::mem::take(&mut memory.unsettled);
        batch.settles.splice(0..0, settles);
        whose.splice(0..0, of);
        besides.splice(0..0, memory.untold.drain(..));
        batch.now = now;
        batch.spare |= self.agreement == Agreement::Off;
        batch.set_back = memory.set_back;
        batch.wake_all = memory.wake_all;
        batch.lanes.append(&mut memory.unsaved_lanes);
        batch.apps.append(&mut memory.unsaved_apps);
        batch.records.extend(with_firings);
        // Behind those that are only done if this transaction is.
        let in_force_at = batch.records.len();
        batch.records.append(&mut memory.unsaved_records);
        batch.records.extend(in_force);
        besides.extend(self.pass_lanes(&mut batch, pauses, halts));
        // Behind those that somebody asked for and waits for.
        let own = self.old(now).filter(|_| !batch.spare);
        let own_at = own.is_some().then_some(batch.sweeps.len());
        batch.sweeps.extend(own);
        let begun = Instant::now();
        self.measures.commit_begins(Seat::WRITER);
        let definitions = Arc::clone(&self.redefine.borrow());
        let happened = |committed: &Committed| changes(&batch, &whose, &besides, committed, &definitions.names);
        let tell = |committed: &Committed| match definitions.config.webhooks.is_empty() {
            true => Vec::new(),
            false => notices(&definitions.config, &happened(committed)),
        };
        match self.store.commit_and_tell(&batch, tell).await {
            Ok(committed) => {
                self.store_served();
                self.measures.committed(Seat::WRITER, &batch, &committed, begun.elapsed());
                let (outcomes, messages, claimed) =
                    (batch.settles.len(), batch.messages.len(), committed.claimed.len());
                tracing::trace!(outcomes, messages, claimed, took_us = begun.elapsed().as_micros(), "committed");
                let in_vain = self.store.is_shared() && claimed == 0 && !batch.claims.is_empty();
                let claims_in_vain = if in_vain { memory.claims_in_vain.saturating_add(1) } else { 0 };
                *memory = Memory {
                    more: committed.more,
                    next_due: committed.next_due,
                    claims_rest_until: in_vain.then(|| now.after(delay(CLAIMS_REST, claims_in_vain, random()))),
                    claims_in_vain,
                    ..Memory::default()
                };
                self.neighbours.settled(&batch.settles);
                if let Some(swept) = own_at.and_then(|at| committed.swept.get(at)) {
                    self.retention.swept(swept, now);
                }
                self.count_late(&committed);
                self.desk.committed(&committed.backlogs, &batch.resumed);
                self.ring.append(happened(&committed));
                replies.answer(&committed);
                self.dispatch(committed);
            }
            Err(error) => {
                self.measures.commit_failed(Seat::WRITER);
                // What is spared for outcomes was given up just now: with it they are tried again at once.
                let is_first = error.is_full() && self.look_for_room_at.is_none();
                memory.failures += 1;
                let wait = if is_first { Duration::ZERO } else { delay(FAILURE_BACKOFF, memory.failures, random()) };
                memory.retry_at = Some(now.after(wait));
                if error.is_full() {
                    self.make_room(&error, now);
                }
                look(&self.lanes).take_places(&batch.settles);
                memory.unsettled = (batch.settles, whose);
                memory.untold = besides;
                (memory.unsaved_lanes, memory.unsaved_apps) = (batch.lanes, batch.apps);
                memory.unsaved_records = batch.records.split_off(in_force_at);
                let error = Arc::new(error);
                self.inbox.watch.failed("write what came", &error);
                replies.refuse(&error);
            }
        }
    }

    /// Passes the batch by the channels: what operators and outcomes change of them, the places that become free, and
    /// which of them claim. Answers with what is to be told of it.
    fn pass_lanes(&self, batch: &mut Batch, pauses: Vec<Pause>, halts: Vec<AppHalt>) -> Vec<Besides> {
        let now = batch.now;
        let definitions = Arc::clone(&self.redefine.borrow());
        let mut besides = Vec::new();
        let of_channel = |channel, until, reason: &str| What::Channel {
            channel: definitions.names.channel(channel),
            until,
            reason: reason.to_owned(),
        };
        let of_app = |app: &AppName, reason: &str| What::App {
            app: Arc::from(app.as_str()),
            expires_at: None,
            reason: reason.to_owned(),
        };
        let mut lanes = look(&self.lanes);
        for (channel, paused) in pauses {
            if let Some(lane) = lanes.lanes.get_mut(&channel) {
                match &paused {
                    Some((_, note)) => besides.push((EventKind::ChannelPaused, of_channel(channel, None, note))),
                    None if lane.state.paused.is_none() && lane.state.closed.is_none() => {}
                    None => besides.push((EventKind::ChannelResumed, of_channel(channel, None, ""))),
                }
                lane.state.paused = paused;
                // Whoever resumes a channel wants it to go now.
                if lane.state.paused.is_none() {
                    lane.state.closed = None;
                }
                batch.lanes.push(LaneRow { channel, state: lane.state.clone() });
            }
        }
        for halt in halts {
            if lanes.halts.remove(&halt.app).is_some() {
                besides.push((EventKind::AppResumed, of_app(&halt.app, "")));
            }
            batch.apps.push(halt);
        }
        for settle in &batch.settles {
            let Some(effect) = &settle.settlement.lane else { continue };
            match lanes.apply(settle.channel, effect, &definitions.config, now) {
                Applied::Nothing => {}
                Applied::Lane(row) => {
                    let (until, reason) = row.state.closed.clone().unwrap_or_default();
                    besides.push((EventKind::ChannelClosed, of_channel(row.channel, Some(until), &reason)));
                    batch.lanes.push(row);
                }
                Applied::App(halt) => {
                    let reason = halt.halted.as_ref().map_or("", |(_, reason)| reason);
                    besides.push((EventKind::AppHalted, of_app(&halt.app, reason)));
                    batch.apps.push(halt);
                }
            }
        }
        // What ended here makes room for what is claimed here: one sync for both.
        lanes.free_places(&batch.settles);
        // The store knows best how many are due once the earlier steps are done: every open channel asks.
        batch.claims = lanes.claims(now, |channel| self.queued(channel).max(1));
        besides
    }

    /// Counts the outcomes that met the fence.
    fn count_late(&self, committed: &Committed) {
        let late = committed.settled.iter().filter(|applied| !**applied).count();
        if late > 0 {
            look(&self.lanes).late_outcomes += late as u64;
            tracing::warn!("{late} outcomes came too late and changed nothing");
        }
    }

    fn dispatch(&self, committed: Committed) {
        self.mint_desk.tell(committed.waiting.into_iter().map(|row| (row.channel, row.template, row.recipient)));
        let in_flight = {
            let mut lanes = look(&self.lanes);
            for (channel, arrival) in &committed.arrivals {
                if let Some(lane) = lanes.lanes.get_mut(channel) {
                    lane.state.arrival = *arrival;
                }
            }
            for claimed in &committed.claimed {
                if let Some(lane) = lanes.lanes.get_mut(&claimed.channel) {
                    lane.in_flight += 1;
                }
            }
            lanes.in_flight()
        };
        self.in_flight.send_replace(in_flight);
        // Those by which it was claimed: nobody replaces them but this task.
        let definitions = Arc::clone(&self.redefine.borrow());
        self.runtime.dispatch(&self.pipeline, &definitions, committed.claimed);
    }
}
