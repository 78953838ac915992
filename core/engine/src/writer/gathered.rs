//! What was taken from the queue for one transaction, and who waits for which part of its answer.

use std::sync::Arc;
use std::time::Duration;

use tidings_model::AppName;
use tidings_store::{
    Accepted, Acts, AppHalt, AuditEntry, Batch, Committed, CredentialIntake, FetchRight, Fired, Record, StoreError,
    Swept,
};

use super::queue::{Deed, Done, Fetch, Pause, Reply, Taken, Work};
use crate::config::Config;
use crate::events::{Besides, EventKind, What, Whose};
use crate::receive::Effects;

/// What was taken from the queue for one transaction.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) size: usize,
    /// Its outcomes are those of `whose`, in the same order.
    pub(super) batch: Batch,
    pub(super) whose: Vec<Whose>,
    pub(super) besides: Vec<Besides>,
    pub(super) pauses: Vec<Pause>,
    pub(super) halts: Vec<AppHalt>,
    pub(super) configs: Vec<(Box<Config>, AuditEntry, Reply<()>)>,
    /// Who asks whether it may fetch a token.
    pub(super) fetches: Vec<(AppName, Duration, Reply<FetchRight>)>,
    /// The store was full when messages came beside this.
    pub(super) full: Option<Arc<StoreError>>,
    /// The record of pauses and halts: they are in force whatever becomes of this transaction.
    pub(super) in_force: Vec<Record>,
    /// The record of what is done to schedules: it is done with this transaction, or not at all.
    pub(super) with_firings: Vec<Record>,
    pub(super) replies: Replies,
}

/// Who waits for what became of a deed: how many operations it has, and the place of its record.
struct Waiter {
    count: usize,
    record: Option<usize>,
    reply: Reply<Done>,
}

/// Who waits for which part of the answer.
#[derive(Default)]
pub(super) struct Replies {
    operated: Vec<Waiter>,
    accepted: Vec<(usize, Accepting)>,
    credentials: Vec<(usize, Reply<Vec<CredentialIntake>>)>,
    fired: Vec<(usize, Reply<Vec<Fired>>)>,
    ran: Vec<Reply<bool>>,
    swept: Vec<Reply<Swept>>,
    pub(super) done: Vec<Reply<()>>,
}

/// Who waits for what became of some messages.
enum Accepting {
    Caller(Reply<Vec<Accepted>>),
    /// A step of a run, by its place among the steps.
    Step(usize, Reply<Taken>),
}

impl Gathered {
    pub(super) fn add(&mut self, work: Work) {
        self.size += match work {
            Work::Settle(finished) => {
                self.batch.settles.push(finished.settle);
                self.whose.push(finished.whose);
                1
            }
            Work::Operate(Deed { operations, entry, onto }, reply) => {
                let (start, count) = (self.batch.operations.len(), operations.len());
                let record = entry.map(|entry| {
                    let acts = Some(Acts { operations: start..start + count, onto });
                    self.batch.records.push(Record { entry, acts, of_run: None });
                    self.batch.records.len() - 1
                });
                self.replies.operated.push(Waiter { count, record, reply });
                self.batch.operations.extend(operations);
                count
            }
            Work::Record(entry, reply) => {
                self.batch.records.push(entry.into());
                self.replies.done.push(reply);
                1
            }
            Work::Accept(messages, reply) => {
                let count = messages.len();
                self.replies.accepted.push((count, Accepting::Caller(reply)));
                self.batch.messages.extend(messages);
                count
            }
            Work::Step(messages, mut step, reply) => {
                let (start, count) = (self.batch.messages.len(), messages.len());
                step.messages = start..start + count;
                self.replies.accepted.push((count, Accepting::Step(self.batch.steps.len(), reply)));
                self.batch.messages.extend(messages);
                self.batch.steps.push(*step);
                count
            }
            Work::Credentials(credentials, reply) => {
                let count = credentials.len();
                self.replies.credentials.push((count, reply));
                self.batch.credentials.extend(credentials);
                count
            }
            Work::Push(Effects { credentials, withdrawals, receipts }, reply) => {
                let count = credentials.len() + withdrawals.len() + receipts.len();
                self.replies.credentials.push((credentials.len(), reply));
                self.batch.credentials.extend(credentials);
                self.batch.withdrawals.extend(withdrawals);
                self.batch.receipts.extend(receipts);
                count
            }
            Work::Token(row, fetch, reply) => {
                if fetch == Fetch::Ended {
                    let app = Arc::from(row.app.as_str());
                    let what = What::App { app, expires_at: row.expires_at, reason: String::new() };
                    self.besides.push((EventKind::TokenRefreshed, what));
                }
                self.batch.tokens.push(row);
                self.replies.done.push(reply);
                1
            }
            Work::Pause(pause, entry, reply) => {
                self.pauses.push(pause);
                self.in_force.push(entry.into());
                self.replies.done.push(reply);
                1
            }
            Work::Lift(app, entry, reply) => {
                self.halts.push(app);
                self.in_force.push(entry.into());
                self.replies.done.push(reply);
                1
            }
            Work::Suppress(change, entry, reply) => {
                self.batch.suppressions.push(change);
                self.batch.records.push(entry.into());
                self.replies.done.push(reply);
                1
            }
            Work::Signpost(change, reply) => {
                self.batch.signposts.push(change);
                self.replies.done.push(reply);
                1
            }
            Work::Key(change, entry, reply) => {
                self.batch.keys.push(change);
                self.batch.records.push(entry.into());
                self.replies.done.push(reply);
                1
            }
            Work::MayFetch(app, within, reply) => {
                self.fetches.push((app, within, reply));
                1
            }
            Work::Full(full) => {
                self.full = Some(full);
                1
            }
            Work::Redefine(config, entry, reply) => {
                self.configs.push((config, entry, reply));
                1
            }
            Work::Fire(firings, changes, entry, reply) => {
                let count = firings.len();
                self.replies.fired.push((count, reply));
                self.batch.firings.extend(firings);
                self.batch.schedules.extend(changes);
                self.with_firings.extend(entry.map(Record::from));
                count
            }
            Work::Run(note, entry, reply) => {
                let place = self.batch.runs.len();
                self.batch.runs.push(*note);
                let record = entry.map(|entry| Record { entry, acts: None, of_run: Some(place) });
                self.batch.records.extend(record);
                self.replies.ran.push(reply);
                1
            }
            Work::Sweep(sweep, reply) => {
                self.batch.sweeps.push(sweep);
                self.replies.swept.push(reply);
                1
            }
            Work::Notices(settle, mut besides, reply) => {
                self.batch.notices.push(*settle);
                self.besides.append(&mut besides);
                self.replies.done.push(reply);
                1
            }
            Work::ResumeWebhook(webhook, entry, reply) => {
                let what = What::Webhook { webhook: Arc::from(webhook.as_str()), reason: String::new() };
                self.besides.push((EventKind::WebhookResumed, what));
                self.batch.resumed.push(webhook);
                self.batch.records.push(entry.into());
                self.replies.done.push(reply);
                1
            }
            Work::Tell(mut besides) => {
                self.besides.append(&mut besides);
                1
            }
        }
        .max(1);
    }

    /// Leaves what must be written also when the disk is full, and refuses the rest.
    pub(super) fn spare(&mut self, full: &Arc<StoreError>) {
        self.batch.spare = true;
        self.batch.messages.clear();
        self.batch.steps.clear();
        self.batch.credentials.clear();
        self.batch.withdrawals.clear();
        self.batch.receipts.clear();
        self.batch.firings.clear();
        self.batch.schedules.clear();
        self.with_firings.clear();
        self.batch.sweeps.clear();
        self.batch.signposts.clear();
        let Replies { operated, accepted, credentials, fired, ran, swept, done } = std::mem::take(&mut self.replies);
        Replies { accepted, credentials, fired, swept, ..Replies::default() }.refuse(full);
        self.replies = Replies { operated, ran, done, ..Replies::default() };
    }
}

impl Replies {
    /// A caller that no longer waits is none of our business: what it asked for is done.
    pub(super) fn answer(self, committed: &Committed) {
        let mut start = 0;
        for Waiter { count, record, reply } in self.operated {
            let operated = committed.operated[start..start + count].to_vec();
            let recorded = record.and_then(|place| committed.recorded[place]);
            drop(reply.send(Ok(Done { operated, recorded })));
            start += count;
        }
        let mut start = 0;
        for (count, accepting) in self.accepted {
            let accepted = committed.accepted[start..start + count].to_vec();
            start += count;
            match accepting {
                Accepting::Caller(reply) => drop(reply.send(Ok(accepted))),
                Accepting::Step(place, reply) => {
                    drop(reply.send(Ok(Taken { stepped: committed.stepped[place], accepted })));
                }
            }
        }
        parts(self.credentials, &committed.credentials);
        for (reply, written) in self.ran.into_iter().zip(&committed.ran) {
            drop(reply.send(Ok(*written)));
        }
        parts(self.fired, &committed.fired);
        for (reply, swept) in self.swept.into_iter().zip(&committed.swept) {
            drop(reply.send(Ok(swept.clone())));
        }
        for reply in self.done {
            drop(reply.send(Ok(())));
        }
    }

    pub(super) fn refuse(self, error: &Arc<StoreError>) {
        fn each<T>(replies: impl IntoIterator<Item = Reply<T>>, error: &Arc<StoreError>) {
            for reply in replies {
                drop(reply.send(Err(Arc::clone(error))));
            }
        }
        each(self.operated.into_iter().map(|waiter| waiter.reply), error);
        for (_, accepting) in self.accepted {
            match accepting {
                Accepting::Caller(reply) => each([reply], error),
                Accepting::Step(_, reply) => each([reply], error),
            }
        }
        each(self.ran, error);
        each(self.credentials.into_iter().map(|(_, reply)| reply), error);
        each(self.fired.into_iter().map(|(_, reply)| reply), error);
        each(self.swept, error);
        each(self.done, error);
    }
}

/// Gives each caller its part of a list, in the order they were gathered.
fn parts<T: Clone>(replies: Vec<(usize, Reply<Vec<T>>)>, answers: &[T]) {
    let mut start = 0;
    for (count, reply) in replies {
        drop(reply.send(Ok(answers[start..start + count].to_vec())));
        start += count;
    }
}

#[cfg(test)]
mod tests {
    use tidings_model::{RunId, RunState};
    use tidings_store::{ChannelId, NewMessage, RunNote, RunStep, TemplateId, fingerprint};
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn while_the_disk_is_full_a_step_of_a_run_is_refused_whole_and_its_end_is_written() {
        let message = NewMessage {
            channel: ChannelId(1),
            template: TemplateId(1),
            recipient: tidings_model::Recipient::new("ann").unwrap(),
            data: "{}".to_owned(),
            key: None,
            body_hash: fingerprint(b""),
            send_at: None,
            expires_at: None,
            priority: 0,
            run: Some(RunId(7)),
            trace: None,
        };
        let step = RunStep {
            run: RunId(7),
            schedule: "digest".to_owned(),
            number: 1,
            place: String::new(),
            messages: 0..0,
            refused: 0,
            done: 1,
            total: None,
            log: Vec::new(),
            tell: false,
        };
        let (mut gathered, (taken, mut took), (said, mut say)) =
            (Gathered::default(), oneshot::channel(), oneshot::channel());
        gathered.add(Work::Step(vec![message.clone(), message], Box::new(step), taken));
        let end = RunNote::end(RunId(7), "digest", RunState::Cancelled, "by local");
        gathered.add(Work::Run(Box::new(end), None, said));
        assert_eq!(gathered.batch.steps[0].messages, 0..2);
        gathered.spare(&Arc::new(StoreError::Full { path: "tidings.db".to_owned() }));
        assert!(gathered.batch.messages.is_empty() && gathered.batch.steps.is_empty());
        assert!(took.try_recv().unwrap().unwrap_err().is_full());
        assert_eq!(gathered.batch.runs.len(), 1);
        assert!(say.try_recv().is_err(), "it is answered when it is written");
    }
}
