//! Messages are taken in beside the writer, over connections of their own: on a server whoever brings some waits for no
//! outcome and no claim, and more than one of its processes is at work on them. A file has one way to write to it, and none
//! of this.
//!
//! The writer and its intakes tell each other what they know ([`Beside`]): it has who is suppressed and which app a channel
//! sends with, they have what came. Nothing depends on it: whatever the writer was not told it reads, as what other engines
//! took in.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidings_model::{AppName, State, Timestamp};
use tokio::sync::Notify;

use super::accept::{begins, unanswered};
use super::due::{ahead, earliest};
use super::floor::{Floors, Place};
use super::suppression::Suppressed;
use super::tally::{Moves, Tally};
use super::tick::{BEGIN, Manner, Step, is_begun_again};
use super::writer::Last;
use crate::batch::{Accepted, ChannelId, NewMessage};
use crate::error::{StoreError, TRIES_MAX};
use crate::postgres::{Access, Lease};
use crate::sql::{Backend, Connection, Dialect, ROWS_MAX, both};

/// What the writer and its intakes know of each other.
#[derive(Debug, Default)]
pub(super) struct Beside {
    known: Mutex<Known>,
    came: Mutex<Came>,
    /// Something came.
    arrived: Arc<Notify>,
    /// How many intakes there were.
    places: AtomicI64,
}

/// What an intake goes by.
#[derive(Debug, Default, Clone)]
struct Known {
    suppresses: bool,
    apps: Arc<HashMap<ChannelId, AppName>>,
}

/// What intakes took in since the writer looked.
#[derive(Debug, Default)]
struct Came {
    moves: Moves,
    /// The first place of each channel and priority that was queued.
    first: HashMap<(ChannelId, i64), Place>,
    /// When the first of them becomes due or runs out of time.
    ahead: Option<Timestamp>,
}

impl Came {
    /// What it means that these were taken in.
    fn of(messages: &[&NewMessage], accepted: &[Option<Accepted>], now: Timestamp, moves: Moves) -> Came {
        let mut came = Came { moves, ..Came::default() };
        for (message, accepted) in messages.iter().zip(accepted) {
            let Some(Accepted::New(id)) = accepted else { continue };
            came.ahead = earliest(came.ahead, ahead(message));
            if let (due_at, State::Queued) = begins(message, now) {
                came.put((message.channel, message.priority.into()), (due_at.0, id.0));
            }
        }
        came
    }

    fn put(&mut self, queue: (ChannelId, i64), place: Place) {
        let first = self.first.entry(queue).or_insert(place);
        *first = place.min(*first);
    }

    fn add(&mut self, other: Came) {
        self.moves.add(other.moves);
        other.first.into_iter().for_each(|(queue, place)| self.put(queue, place));
        self.ahead = earliest(self.ahead, other.ahead);
    }
}

impl Beside {
    pub(super) fn arrived(&self) -> Arc<Notify> {
        Arc::clone(&self.arrived)
    }

    pub(super) fn say_who_is_suppressed(&self, suppresses: bool) {
        hold(&self.known).suppresses = suppresses;
    }

    pub(super) fn say_whose_apps(&self, apps: &HashMap<ChannelId, AppName>) {
        hold(&self.known).apps = Arc::new(apps.clone());
    }

    /// Takes over what came into what the writer remembers; `None` if nothing came.
    pub(super) fn hear(&self, tally: &mut Tally, floors: &mut Floors) -> Option<Arrived> {
        let Came { moves, first, ahead } = std::mem::take(&mut *hold(&self.came));
        if moves.is_empty() {
            return None;
        }
        tally.apply(moves);
        for ((channel, priority), place) in first {
            floors.came(channel, priority, place);
        }
        Some(Arrived { ahead })
    }

    fn tell(&self, came: Came) {
        hold(&self.came).add(came);
        self.arrived.notify_one();
    }
}

fn hold<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// That something came through an intake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// When the first of it becomes due or runs out of time, if any does.
    pub ahead: Option<Timestamp>,
}

/// One way into the store beside its writer, for messages alone. It connects when something comes.
#[derive(Debug)]
pub struct Intake {
    beside: Arc<Beside>,
    access: Access,
    lease: Lease,
    /// Tells other engines that something came.
    bell: Arc<Notify>,
    connection: Option<Connection>,
    /// What the server may still have for connections that were given up.
    left: Vec<Backend>,
    /// A transaction failed: what state the connection is in, nobody can say.
    in_doubt: bool,
    /// Tells it from the others of its engine, below [`PLACES`].
    place: i64,
}

impl Intake {
    pub(super) fn new(beside: Arc<Beside>, access: Access, lease: Lease, bell: Arc<Notify>) -> Intake {
        let place = beside.places.fetch_add(1, Ordering::Relaxed) % PLACES;
        Intake { beside, access, lease, bell, connection: None, left: Vec::new(), in_doubt: false, place }
    }

    /// Sees to it that something can be asked. Nothing was, if this fails.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`] and the like if no connection can be had.
    pub async fn ready(&mut self) -> Result<(), StoreError> {
        let rested = self.is_sound();
        match self.prepare().await {
            // It ended while it rested. One that is silent was waited for long enough.
            Err(error) if rested && !self.is_silent() => {
                tracing::debug!("an intake connects anew: {error}");
                self.prepare().await
            }
            prepared => prepared,
        }
    }

    async fn prepare(&mut self) -> Result<(), StoreError> {
        self.connect().await?;
        self.in_doubt = true;
        let connection = self.connection.as_mut().expect("it is connected");
        // This is asked of a connection that rested for longer than a moment.
        self.access.renew_plans(connection, i64::MAX).await?;
        self.in_doubt = false;
        Ok(())
    }

    /// Whether the last that was asked was never answered.
    fn is_silent(&self) -> bool {
        self.connection.as_ref().is_some_and(Connection::is_lost)
    }

    /// Takes all of these messages in, or none, and answers what became of each, in order. When this returns `Ok`, what it
    /// says is on disk; `None` stands for one whose key was met when nobody could say any more whose it is: that one may be
    /// brought again, by this way or another. They belong to no run.
    ///
    /// # Errors
    ///
    /// As [`Writer::commit`](super::Writer::commit). Of [`StoreError::never_arrived`] it is sure that nothing is on disk.
    pub async fn accept(
        &mut self,
        messages: &[NewMessage],
        now: Timestamp,
    ) -> Result<Vec<Option<Accepted>>, StoreError> {
        match messages.len() {
            ..=ROWS_MAX => self.accept_alone(messages, now).await,
            _ => self.accept_together(messages, now).await,
        }
    }

    /// By one statement, which is a transaction by itself, and others for those whose keys it met.
    async fn accept_alone(
        &mut self,
        messages: &[NewMessage],
        now: Timestamp,
    ) -> Result<Vec<Option<Accepted>>, StoreError> {
        let asked: Vec<&NewMessage> = messages.iter().collect();
        let mut answers = self.write_alone(&asked, now).await?;
        for _ in 0..TRIES_MAX {
            let met = unanswered(&answers);
            if met.is_empty() {
                break;
            }
            let whose: Vec<&NewMessage> = met.iter().map(|place| asked[*place]).collect();
            self.in_doubt = true;
            let mut step = self.step(now, true);
            let found = step.accept_met(&whose).await;
            let moves = std::mem::take(&mut step.moves);
            match found {
                Ok(found) => {
                    self.in_doubt = false;
                    self.tell(&whose, &found, now, moves);
                    met.into_iter().zip(found).for_each(|(place, answer)| answers[place] = answer);
                }
                Err(error) => {
                    tracing::debug!("nobody knows yet whose the keys are that were met: {error}");
                    break;
                }
            }
        }
        Ok(answers)
    }

    async fn write_alone(
        &mut self,
        messages: &[&NewMessage],
        now: Timestamp,
    ) -> Result<Vec<Option<Accepted>>, StoreError> {
        for _ in 0..TRIES_MAX {
            self.ready().await?;
            self.in_doubt = true;
            let known = self.known();
            let mut step = self.step(now, true);
            let written = step.take_in(messages, &known).await;
            let moves = std::mem::take(&mut step.moves);
            match written {
                Ok(answers) => {
                    self.in_doubt = false;
                    self.tell(messages, &answers, now, moves);
                    return Ok(answers);
                }
                Err(error) if is_begun_again(&error, Dialect::Postgres) => self.in_doubt = false,
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Contended)
    }

    /// More than one statement holds, in a transaction.
    async fn accept_together(
        &mut self,
        messages: &[NewMessage],
        now: Timestamp,
    ) -> Result<Vec<Option<Accepted>>, StoreError> {
        let asked: Vec<&NewMessage> = messages.iter().collect();
        for _ in 0..TRIES_MAX {
            self.ready().await?;
            // Whatever ends this early leaves a transaction open, and the next one connects anew.
            self.in_doubt = true;
            let known = self.known();
            let mut step = self.step(now, false);
            let done = step.take_all_in(messages, &known).await;
            let moves = std::mem::take(&mut step.moves);
            match done {
                Ok(accepted) => {
                    self.in_doubt = false;
                    let answers: Vec<Option<Accepted>> = accepted.into_iter().map(Some).collect();
                    self.tell(&asked, &answers, now, moves);
                    return Ok(answers);
                }
                Err(error) if is_begun_again(&error, Dialect::Postgres) => {}
                Err(error) => return Err(error),
            }
            both("ROLLBACK").execute(self.connected()).await.map_err(StoreError::during("roll back"))?;
            self.in_doubt = false;
        }
        Err(StoreError::Contended)
    }

    fn known(&self) -> Known {
        hold(&self.beside.known).clone()
    }

    fn tell(&self, messages: &[&NewMessage], accepted: &[Option<Accepted>], now: Timestamp, moves: Moves) {
        self.beside.tell(Came::of(messages, accepted, now, moves));
        // What is not claimed here may be somebody else's to send.
        self.bell.notify_one();
    }

    fn step(&mut self, now: Timestamp, alone: bool) -> Step<'_> {
        let node = counts_as(self.lease.node().unwrap_or_default(), self.place);
        Step {
            connection: self.connected(),
            moves: Moves::default(),
            last: Last::default(),
            now,
            manner: Manner::Counts,
            counts_as: alone.then_some(node),
            waiting: 0,
            node,
            claim: 0,
            freed: Vec::new(),
            floors: Floors::default(),
        }
    }

    /// Sees to it that there is a connection, and that the server has nothing more to do for the one before: what that
    /// locked would be waited for.
    async fn connect(&mut self) -> Result<(), StoreError> {
        if self.is_sound() {
            return Ok(());
        }
        // Its place may be the one that the next gets. To close it in order would be to write what is left to be written:
        // somebody was told that it was not taken.
        self.left.extend(self.connection.take().and_then(|before| before.backend().cloned()));
        let mut fresh = self.access.connect().await?;
        self.access.lay_to_rest(&mut fresh, &mut self.left).await?;
        (self.connection, self.in_doubt) = (Some(fresh), false);
        Ok(())
    }

    fn is_sound(&self) -> bool {
        !self.in_doubt && self.connection.as_ref().is_some_and(|connection| !connection.is_lost())
    }

    fn connected(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("a transaction was begun")
    }

    /// Ends its connection in good order.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] if the server does not hear of it; nothing is lost then.
    pub async fn close(self) -> Result<(), StoreError> {
        match self.connection {
            Some(connection) if !self.in_doubt => {
                connection.close().await.map_err(StoreError::during("close an intake"))
            }
            _ => Ok(()),
        }
    }
}

/// Numbers that a node's intakes count under. `nodes_gone.sql` says the same.
const PLACES: i64 = 16;

/// In which rows of the counts an intake of a node counts: in those of the writer, or of another, they would wait for each
/// other's commits. No node has a number below zero.
fn counts_as(node: i64, place: i64) -> i64 {
    -(node * PLACES + place)
}

impl Step<'_> {
    /// Takes messages in as far as their keys are free.
    async fn take_in(&mut self, messages: &[&NewMessage], known: &Known) -> Result<Vec<Option<Accepted>>, StoreError> {
        let suppressed = self.known_suppressed(messages, known).await?;
        self.accept_new(messages, None, &suppressed, &[], &known.apps).await
    }

    /// Takes all in, in a transaction.
    async fn take_all_in(&mut self, messages: &[NewMessage], known: &Known) -> Result<Vec<Accepted>, StoreError> {
        BEGIN.query().execute(self.connection).await.map_err(StoreError::during("begin"))?;
        let all: Vec<&NewMessage> = messages.iter().collect();
        let suppressed = self.known_suppressed(&all, known).await?;
        let accepted = self.accept(messages, None, &suppressed, &[], &known.apps).await?;
        self.commit().await?;
        Ok(accepted)
    }

    async fn known_suppressed(&mut self, messages: &[&NewMessage], known: &Known) -> Result<Suppressed, StoreError> {
        match known.suppresses {
            true => self.suppressed(messages, &known.apps).await,
            false => Ok(Suppressed::new()),
        }
    }
}
