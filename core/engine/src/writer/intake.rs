//! Messages that come to a store on a server: taken in beside the writer, by several at once, so that whoever brings one waits
//! for no outcome and no claim. They live on the writer's thread: it tells what happened in the order in which it did.

use std::panic;
use std::sync::Arc;
use std::time::Instant;

use tidings_model::limits::TICK_CHANGES_MAX;
use tidings_model::{Clock, MessageId};
use tidings_store::{Accepted, Batch, Committed, Intake, NewMessage, StoreError};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;

use super::WriterTask;
use super::gathered::parts;
use super::queue::{Call, Reply, WriterHandle};
use crate::definitions::{Definitions, Present, present};
use crate::events::{Names, Ring, changes};
use crate::measure::{INTAKES, Measures, Seat};
use crate::outage::StoreWatch;
use crate::webhooks::notices;

/// What comes, taken by whoever is free.
type Calls = Arc<Mutex<mpsc::Receiver<Call>>>;

/// One of those who take messages in.
struct IntakeTask {
    store: Intake,
    seat: Seat,
    calls: Calls,
    /// What is not done here is done there.
    writer: WriterHandle,
    watch: Arc<StoreWatch>,
    present: Present,
    ring: Arc<Ring>,
    measures: Arc<Measures>,
    clock: Arc<dyn Clock>,
    /// True when it is time to go: what is in the queue is still written, and nothing new is taken.
    stop: watch::Receiver<bool>,
}

/// Those who take messages in.
#[derive(Default)]
pub(super) struct Intakes {
    tasks: JoinSet<()>,
}

impl Intakes {
    /// Begins, where the store has several ways in.
    pub(super) fn begin(writer: &mut WriterTask) -> Intakes {
        let mut tasks = JoinSet::new();
        let Some(calls) = writer.inbox.calls.take().map(|calls| Arc::new(Mutex::new(calls))) else {
            return Intakes::default();
        };
        for (store, seat) in (0..INTAKES).filter_map(|_| writer.store.intake()).zip(Seat::of_intakes()) {
            let task = IntakeTask {
                store,
                seat,
                calls: Arc::clone(&calls),
                writer: writer.pipeline.writer.clone(),
                watch: Arc::clone(&writer.inbox.watch),
                present: writer.redefine.subscribe(),
                ring: Arc::clone(&writer.ring),
                measures: Arc::clone(&writer.measures),
                clock: Arc::clone(&writer.clock),
                stop: writer.stop.clone(),
            };
            tasks.spawn(task.run());
        }
        Intakes { tasks }
    }

    /// Ends when one of them breaks down: as if the writer had.
    pub(super) async fn broken(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            resume(ended);
        }
        std::future::pending().await
    }

    /// Waits until all have written what came.
    pub(super) async fn end(mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            resume(ended);
        }
    }
}

fn resume(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        panic::resume_unwind(panic);
    }
}

impl IntakeTask {
    async fn run(mut self) {
        while let Some(calls) = self.gather().await {
            let definitions = present(&self.present);
            let mut replies = Vec::with_capacity(calls.len());
            let mut messages = Vec::new();
            for Call { messages: mut brought, reply } in calls {
                if is_told(&definitions, &mut brought) {
                    self.writer.accept_with_notices(brought, reply).await;
                } else {
                    replies.push((brought.len(), reply));
                    messages.append(&mut brought);
                }
            }
            if !messages.is_empty() {
                self.take_in(messages, replies, &definitions.names).await;
            }
        }
        if let Err(error) = self.store.close().await {
            tracing::debug!("{error}");
        }
    }

    /// What waits, up to a bound; `None` when nothing comes any more.
    async fn gather(&mut self) -> Option<Vec<Call>> {
        let mut calls = self.calls.lock().await;
        let first = loop {
            tokio::select! {
                call = calls.recv() => break call?,
                // Whoever could say "stop" and is gone has said it.
                stopped = self.stop.wait_for(|stop| *stop), if !calls.is_closed() => {
                    drop(stopped);
                    calls.close();
                }
            }
        };
        let mut size = first.messages.len();
        let mut gathered = vec![first];
        while size < TICK_CHANGES_MAX {
            let Ok(call) = calls.try_recv() else { break };
            size += call.messages.len();
            gathered.push(call);
        }
        Some(gathered)
    }

    async fn take_in(&mut self, messages: Vec<NewMessage>, replies: Vec<(usize, Reply<Vec<Accepted>>)>, names: &Names) {
        let batch = Batch { now: self.clock.now(), messages, ..Batch::default() };
        let begun = Instant::now();
        self.measures.commit_begins(self.seat);
        match self.store.accept(&batch.messages, batch.now).await {
            Ok(accepted) => {
                self.watch.served();
                let committed = Committed { accepted, ..Committed::default() };
                self.measures.committed(self.seat, &batch, &committed, begun.elapsed());
                let (messages, took_us) = (batch.messages.len(), begun.elapsed().as_micros());
                tracing::trace!(messages, took_us, "taken in");
                self.ring.append(changes(&batch, &[], &[], &committed, names));
                parts(replies, &committed.accepted);
            }
            Err(error) => {
                self.measures.commit_failed(self.seat);
                let error = Arc::new(error);
                self.watch.failed("write what came", &error);
                if error.is_full() {
                    self.writer.tell_full(Arc::clone(&error)).await;
                }
                refuse(replies, &error);
            }
        }
    }
}

fn refuse(replies: Vec<(usize, Reply<Vec<Accepted>>)>, error: &Arc<StoreError>) {
    for (_, reply) in replies {
        // A caller that no longer waits is none of our business.
        drop(reply.send(Err(Arc::clone(error))));
    }
}

/// Whether a webhook is told of one of these messages when it is accepted: the writer accepts it then, with the notice.
fn is_told(definitions: &Definitions, messages: &mut Vec<NewMessage>) -> bool {
    if definitions.config.webhooks.is_empty() {
        return false;
    }
    let batch = Batch { messages: std::mem::take(messages), ..Batch::default() };
    let accepted = vec![Accepted::New(MessageId(0)); batch.messages.len()];
    let committed = Committed { accepted, ..Committed::default() };
    let happened = changes(&batch, &[], &[], &committed, &definitions.names);
    *messages = batch.messages;
    !notices(&definitions.config, &happened).is_empty()
}
