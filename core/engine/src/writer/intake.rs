//! Messages that come to a store on a server: taken in beside the writer, by several at once, so that whoever brings one waits
//! for no outcome and no claim. They live on the writer's thread: it tells what happened in the order in which it did.

use std::panic;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidings_model::limits::TICK_CHANGES_MAX;
use tidings_model::{Clock, MessageId};
use tidings_store::{Accepted, Batch, Committed, Intake, NewMessage, StoreError};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::queue::{Call, Reply, WriterHandle};
use super::{SharedLanes, WriterTask, look};
use crate::definitions::{Definitions, Present, present};
use crate::events::{Names, Ring, changes};
use crate::measure::{INTAKES, Measures, Seat};
use crate::outage::StoreWatch;
use crate::webhooks::notices;

/// How long an intake may take until it can ask, before the writer is asked.
const READY_WAIT: Duration = Duration::from_secs(1);

/// Until an intake that could not ask looks whether it can.
const REST: Duration = Duration::from_secs(1);

/// How long a stop waits for what came last: less than it waits for the writer.
const END_WAIT: Duration = Duration::from_secs(2);

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
    lanes: SharedLanes,
    /// What is answered while there is no room.
    when_full: Arc<StoreError>,
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
                lanes: Arc::clone(&writer.lanes),
                when_full: Arc::new(writer.store.full()),
                stop: writer.stop.clone(),
            };
            tasks.spawn(task.run());
        }
        Intakes { tasks }
    }

    /// Whoever breaks down breaks the writer down, which looks once a second.
    pub(super) fn look(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            resume(ended);
        }
    }

    /// Waits until all have written what came; what waits for a server that does not answer is not waited for.
    pub(super) async fn end(mut self) {
        let ended = async {
            while let Some(ended) = self.tasks.join_next().await {
                resume(ended);
            }
        };
        if tokio::time::timeout(END_WAIT, ended).await.is_err() {
            tracing::warn!("the store did not answer in time to what came last: it may be taken in, or not");
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
        while let Some(calls) = gather(&self.calls, &mut self.stop).await {
            let definitions = present(&self.present);
            if let Some(full) = self.full() {
                refuse(calls.into_iter().map(|call| call.reply), &full);
                continue;
            }
            let (told, calls) = apart(&definitions, calls);
            self.writer.have_accepted(told).await;
            let mut can_ask = true;
            for calls in batches(calls) {
                can_ask = can_ask && self.can_ask().await;
                if can_ask {
                    can_ask = self.take_in(calls, &definitions.names).await;
                } else {
                    self.writer.have_accepted(calls).await;
                }
            }
            if !can_ask && !self.rest().await {
                break;
            }
        }
        if let Err(error) = self.store.close().await {
            tracing::debug!("{error}");
        }
    }

    /// Whether it can ask, as far as is seen soon. Nothing is asked if not, and others can.
    async fn can_ask(&mut self) -> bool {
        match tokio::time::timeout(READY_WAIT, self.store.ready()).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::debug!("an intake cannot ask, and the writer is asked: {error}");
                false
            }
            Err(_) => {
                tracing::debug!("an intake is not answered, and the writer is asked");
                false
            }
        }
    }

    /// Has the writer do everything until this can ask again. False if nothing comes any more.
    async fn rest(&mut self) -> bool {
        let IntakeTask { store, calls, stop, writer, .. } = self;
        let mut recovering = std::pin::pin!(async {
            loop {
                tokio::time::sleep(REST).await;
                match store.ready().await {
                    Ok(()) => break,
                    Err(error) => tracing::debug!("an intake cannot ask yet: {error}"),
                }
            }
        });
        loop {
            tokio::select! {
                () = &mut recovering => return true,
                came = gather(calls, stop) => match came {
                    Some(calls) => writer.have_accepted(calls).await,
                    None => return false,
                }
            }
        }
    }

    /// Why nothing is taken in: there is no room. One who asks each second is enough, and that is the writer's business.
    fn full(&self) -> Option<Arc<StoreError>> {
        look(&self.lanes).store_problem.is_some().then(|| Arc::clone(&self.when_full))
    }

    /// False if it cannot be asked any more for now.
    async fn take_in(&mut self, calls: Vec<Call>, names: &Names) -> bool {
        let mut messages = Vec::new();
        let mut replies = Vec::with_capacity(calls.len());
        for mut call in calls {
            replies.push((call.messages.len(), call.reply));
            messages.append(&mut call.messages);
        }
        let batch = Batch { now: self.clock.now(), messages, ..Batch::default() };
        let begun = Instant::now();
        self.measures.commit_begins(self.seat);
        match self.store.accept(&batch.messages, batch.now).await {
            Ok(answers) => {
                self.watch.served();
                self.tell(&batch, &answers, names, begun.elapsed());
                let mut answered = batch.messages.into_iter().zip(answers);
                let mut is_whole = true;
                for (count, reply) in replies {
                    is_whole &= self.answer(answered.by_ref().take(count).collect(), reply).await;
                }
                is_whole
            }
            Err(error) => {
                self.measures.commit_failed(self.seat);
                if error.never_arrived() {
                    tracing::debug!("an intake was not heard, and the writer is asked: {error}");
                    let mut messages = batch.messages.into_iter();
                    let again = replies
                        .into_iter()
                        .map(|(count, reply)| Call { messages: messages.by_ref().take(count).collect(), reply });
                    self.writer.have_accepted(again.collect()).await;
                    return false;
                }
                let error = Arc::new(error);
                self.watch.failed("write what came", &error);
                refuse(replies.into_iter().map(|(_, reply)| reply), &error);
                if error.is_full() {
                    self.writer.tell_full(error).await;
                }
                false
            }
        }
    }

    /// Counts what was taken in, and tells of it.
    fn tell(&self, batch: &Batch, answers: &[Option<Accepted>], names: &Names, took: Duration) {
        // What nobody knows yet is told of by whoever finds out; until then it is as if it had been there.
        let accepted = answers.iter().map(|answer| answer.unwrap_or(Accepted::Repeat(MessageId(0)))).collect();
        let committed = Committed { accepted, ..Committed::default() };
        self.measures.committed(self.seat, batch, &committed, took);
        tracing::trace!(messages = batch.messages.len(), took_us = took.as_micros(), "taken in");
        self.ring.append(changes(batch, &[], &[], &committed, names));
    }

    /// Answers a call, if everything is known; else the writer is asked for what is not. False then.
    async fn answer(&self, answered: Vec<(NewMessage, Option<Accepted>)>, reply: Reply<Vec<Accepted>>) -> bool {
        if let Some(known) = answered.iter().map(|(_, answer)| *answer).collect::<Option<Vec<Accepted>>>() {
            // A caller that no longer waits is none of our business.
            drop(reply.send(Ok(known)));
            return true;
        }
        let (unknown, answers): (Vec<Option<NewMessage>>, Vec<Option<Accepted>>) =
            answered.into_iter().map(|(message, answer)| (answer.is_none().then_some(message), answer)).unzip();
        let (ask, found) = oneshot::channel();
        self.writer.have_accepted(vec![Call { messages: unknown.into_iter().flatten().collect(), reply: ask }]).await;
        tokio::spawn(async move {
            // If the writer has stopped the reply is dropped here too.
            let Ok(found) = found.await else { return };
            drop(reply.send(found.map(|found| fill(answers, found))));
        });
        false
    }
}

/// The answers, with those in the gaps that were found since.
fn fill(answers: Vec<Option<Accepted>>, found: Vec<Accepted>) -> Vec<Accepted> {
    let mut found = found.into_iter();
    answers.into_iter().filter_map(|answer| answer.or_else(|| found.next())).collect()
}

/// What waits, up to a bound; `None` when nothing comes any more.
async fn gather(calls: &Calls, stop: &mut watch::Receiver<bool>) -> Option<Vec<Call>> {
    let mut calls = calls.lock().await;
    let first = loop {
        tokio::select! {
            call = calls.recv() => break call?,
            // Whoever could say "stop" and is gone has said it.
            stopped = stop.wait_for(|stop| *stop), if !calls.is_closed() => {
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

/// The calls, as many together as one statement takes.
fn batches(calls: Vec<Call>) -> Vec<Vec<Call>> {
    let mut batches: Vec<Vec<Call>> = Vec::new();
    let mut size = 0;
    for call in calls {
        size += call.messages.len();
        match batches.last_mut() {
            Some(batch) if size <= TICK_CHANGES_MAX => batch.push(call),
            _ => {
                size = call.messages.len();
                batches.push(vec![call]);
            }
        }
    }
    batches
}

fn refuse(replies: impl Iterator<Item = Reply<Vec<Accepted>>>, error: &Arc<StoreError>) {
    for reply in replies {
        // A caller that no longer waits is none of our business.
        drop(reply.send(Err(Arc::clone(error))));
    }
}

/// Calls of whose messages a webhook is told when they are accepted, which the writer does with the notice; and the others.
fn apart(definitions: &Definitions, calls: Vec<Call>) -> (Vec<Call>, Vec<Call>) {
    if definitions.config.webhooks.is_empty() {
        return (Vec::new(), calls);
    }
    let (mut told, mut others) = (Vec::new(), Vec::new());
    for Call { messages, reply } in calls {
        let accepted = vec![Accepted::New(MessageId(0)); messages.len()];
        let (batch, committed) =
            (Batch { messages, ..Batch::default() }, Committed { accepted, ..Committed::default() });
        let happened = changes(&batch, &[], &[], &committed, &definitions.names);
        let side = if notices(&definitions.config, &happened).is_empty() { &mut others } else { &mut told };
        side.push(Call { messages: batch.messages, reply });
    }
    (told, others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_since_stands_where_it_was_missing() {
        let new = |id| Accepted::New(MessageId(id));
        let answers = vec![Some(new(1)), None, Some(new(3)), None];
        assert_eq!(fill(answers, vec![new(2), new(4)]), [new(1), new(2), new(3), new(4)]);
    }
}
