//! Permits that recipients have by themselves, like so many sends a day: asked of their source when a message waits for
//! one, and again when the next period begins.
//!
//! The source says which permit it is by its identity, and the ledger takes each once: asking too often costs a look,
//! and nothing is minted twice, whatever crashes in between.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tidings_model::{Clock, SourceName, Timestamp};
use tidings_store::{ChannelId, NewCredential, Reader, TemplateId};
use tokio::sync::{mpsc, watch};

use crate::admit::Admission;
use crate::config::ChannelConfig;
use crate::definitions::{Present, present};
use crate::writer::WriterHandle;

/// Lists of waiting messages between the writer and the minter. Beyond it the minter looks through the store instead.
const NEWS_MAX: usize = 64;

/// Permits given to the writer at once.
const MINTED_MAX: usize = 500;

/// After a failure, and at the least between two looks through the store.
const PAUSE: Duration = Duration::from_secs(30);

/// The longest sleep: a clock that was set, or a machine that slept, is noticed after it.
const SLEEP_MAX: Duration = Duration::from_secs(10);

/// A message that found no permit: its channel, its template, its recipient.
pub(crate) type Wanting = (ChannelId, TemplateId, String);

/// Where the writer says who waits. Cheap to clone; says nothing where no source mints.
#[derive(Debug, Clone)]
pub(crate) struct MintDesk {
    present: Present,
    news: mpsc::Sender<Vec<Wanting>>,
    missed: Arc<tokio::sync::Notify>,
}

impl MintDesk {
    /// These messages wait. Never blocks.
    pub(crate) fn tell(&self, wanting: impl Iterator<Item = Wanting>) {
        let present = self.present.borrow();
        let wanting: Vec<Wanting> = wanting.filter(|(channel, _, _)| present.minting.contains(channel)).collect();
        if !wanting.is_empty() && self.news.try_send(wanting).is_err() {
            self.missed.notify_one();
        }
    }
}

/// Asks sources that mint.
pub(crate) struct Minter {
    present: Present,
    reader: Reader,
    writer: WriterHandle,
    clock: Arc<dyn Clock>,
    news: mpsc::Receiver<Vec<Wanting>>,
    missed: Arc<tokio::sync::Notify>,
    stop: watch::Receiver<bool>,
    /// When the next period of some source begins.
    next_at: Option<Timestamp>,
}

impl Minter {
    /// A minter, and where the writer tells it who waits.
    pub(crate) fn new(
        present: Present,
        reader: Reader,
        writer: WriterHandle,
        clock: Arc<dyn Clock>,
        stop: watch::Receiver<bool>,
    ) -> (Minter, MintDesk) {
        let (sender, news) = mpsc::channel(NEWS_MAX);
        let missed = Arc::new(tokio::sync::Notify::new());
        let desk = MintDesk { present: present.clone(), news: sender, missed: Arc::clone(&missed) };
        (Minter { present, reader, writer, clock, news, missed, stop, next_at: None }, desk)
    }

    /// Mints until the engine stops.
    pub(crate) async fn run(mut self) {
        // Whoever waits since before the start may have had a new period meanwhile.
        self.look_through().await;
        loop {
            let now = self.clock.now();
            let sleep = self.next_at.map_or(SLEEP_MAX, |at| at.since(now).min(SLEEP_MAX));
            tokio::select! {
                news = self.news.recv() => match news {
                    Some(wanting) => self.mint(wanting, &mut BTreeSet::new()).await,
                    None => return,
                },
                () = self.missed.notified() => self.look_through().await,
                // Others may mint by the new definitions, and for others.
                changed = self.present.changed() => match changed {
                    Ok(()) => self.look_through().await,
                    Err(_) => return,
                },
                () = tokio::time::sleep(sleep) => {
                    if self.next_at.is_some_and(|at| at <= self.clock.now()) {
                        self.look_through().await;
                    }
                }
                stopped = self.stop.changed() => if stopped.is_err() || *self.stop.borrow() { return },
            }
        }
    }

    /// Asks for everybody who waits. The next period is found anew on the way.
    async fn look_through(&mut self) {
        self.next_at = None;
        if self.present.borrow_and_update().minting.is_empty() {
            return;
        }
        let (mut after, mut silent) = (None, BTreeSet::new());
        loop {
            if *self.stop.borrow() {
                return;
            }
            let page = match self.reader.waiting(after.as_ref()).await {
                Ok(page) => page,
                Err(error) => {
                    self.writer.warn_unless_away(format_args!("look for messages that wait: {error}"));
                    self.next_at = Some(self.clock.now().after(PAUSE));
                    return;
                }
            };
            let Some(last) = page.last() else { return };
            after = Some((last.recipient.clone(), last.message));
            let wanting = page.into_iter().map(|row| (row.channel, row.template, row.recipient)).collect();
            self.mint(wanting, &mut silent).await;
        }
    }

    /// `silent` are sources that gave no answer before: they are not asked again for each of a million messages.
    async fn mint(&mut self, wanting: Vec<Wanting>, silent: &mut BTreeSet<SourceName>) {
        let wanting: BTreeSet<Wanting> = wanting.into_iter().collect();
        let mut minted = Vec::new();
        let definitions = present(&self.present);
        for (channel, template, recipient) in &wanting {
            let (Some(config), Some(template)) = (definitions.channel(*channel), definitions.template(*template))
            else {
                continue;
            };
            minted.extend(self.of_recipient(config, recipient, &template.scope, silent).await);
            if minted.len() >= MINTED_MAX {
                self.give(std::mem::take(&mut minted)).await;
            }
        }
        self.give(minted).await;
    }

    /// What this recipient has by itself now, of each source of the channel that mints.
    async fn of_recipient(
        &mut self,
        channel: &ChannelConfig,
        recipient: &str,
        scope: &str,
        silent: &mut BTreeSet<SourceName>,
    ) -> Vec<NewCredential> {
        let mut credentials = Vec::new();
        for stage in channel.credentials.iter().filter(|stage| stage.source.rules().mints) {
            if silent.contains(&stage.name) {
                continue;
            }
            let now = self.clock.now();
            let minted = match stage.source.mint(recipient, scope, now).await {
                Ok(minted) => minted,
                Err(error) => {
                    tracing::warn!(source = %stage.name, "mint a permit: {error}");
                    silent.insert(stage.name.clone());
                    self.due(now.after(PAUSE));
                    continue;
                }
            };
            if let Some(at) = minted.next_at {
                // One that is over already would have everybody asked for ever.
                self.due(if at <= now { now.after(PAUSE) } else { at });
            }
            let Some(permit) = minted.permit else { continue };
            match Admission::permit(stage, &channel.app, permit, now) {
                Ok(credential) if credential.identity.is_some() => credentials.push(credential),
                Ok(_) => tracing::warn!(source = %stage.name, "minted a permit without an identity; it is not taken"),
                Err(problem) => tracing::warn!(source = %stage.name, "minted a permit that is not taken: {problem}"),
            }
        }
        credentials
    }

    fn due(&mut self, at: Timestamp) {
        self.next_at = Some(self.next_at.map_or(at, |next| next.min(at)));
    }

    async fn give(&mut self, credentials: Vec<NewCredential>) {
        if credentials.is_empty() {
            return;
        }
        if let Err(refusal) = self.writer.credentials(credentials).await {
            self.writer.warn_unless_away(format_args!("take minted permits: {refusal}"));
            self.due(self.clock.now().after(PAUSE));
        }
    }
}
