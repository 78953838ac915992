//! The one list of what a transaction changed: a pure function of what went in and what came out.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tidings_model::limits::DETAIL_BYTES_MAX;
use tidings_model::trace::{TraceContext, TraceId};
use tidings_model::{Event, ScheduleName, State, Timestamp};
use tidings_store::{
    Accepted, Batch, ChannelId, Committed, CredentialIntake, Fired, Firing, Moved, NewMessage, RunNote, RunStep,
    ScheduleChange, Settle, Stepped, TemplateId, Verdict,
};

use super::{EventKind, Happened, MessageChange, Name, What};

/// Whose outcome it is: what a settlement does not carry.
#[derive(Debug, Clone)]
pub(crate) struct Whose {
    pub(crate) template: TemplateId,
    pub(crate) recipient: String,
    /// The trace that its caller named.
    pub(crate) trace: Option<TraceId>,
}

/// The trace of a `traceparent` that was kept with a message.
pub(crate) fn named(traceparent: Option<&str>) -> Option<TraceId> {
    traceparent.and_then(TraceContext::read).map(|context| context.trace)
}

/// What happened to channels, apps and plugins, and is in force before it is written. It is told with the transaction
/// that writes it.
pub(crate) type Besides = (EventKind, What);

/// What the numbers of the store are called.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    pub(crate) channels: HashMap<ChannelId, Name>,
    pub(crate) templates: HashMap<TemplateId, Name>,
}

impl Names {
    /// Empty for a channel that config no longer has.
    pub(crate) fn channel(&self, id: ChannelId) -> Name {
        self.channels.get(&id).cloned().unwrap_or_default()
    }

    fn template(&self, id: TemplateId) -> Name {
        self.templates.get(&id).cloned().unwrap_or_default()
    }
}

/// Everything that this transaction changed, in the order of its steps. `whose` answers the batch's settlements.
pub(crate) fn changes(
    batch: &Batch,
    whose: &[Whose],
    besides: &[Besides],
    committed: &Committed,
    names: &Names,
) -> Vec<Happened> {
    let list = List { at: batch.now, names };
    let settled = batch.settles.iter().zip(whose).zip(&committed.settled).filter(|(_, applied)| **applied);
    let settled = settled.map(|((settle, whose), _)| list.settled(settle, whose));
    let new = batch.messages.iter().zip(&committed.accepted).filter_map(|(new, accepted)| list.accepted(new, accepted));
    let (late, moved): (Vec<&Moved>, _) = committed.moved.iter().partition(|moved| moved.event == Event::Expire);
    let waiting = committed.waiting.iter().map(|waiting| {
        let change = list.message(waiting.message, waiting.channel, waiting.template, &waiting.recipient);
        list.told(EventKind::MessageWaiting, change(State::Waiting, Some("no_credential")))
    });
    let fired = batch.firings.iter().zip(&committed.fired).flat_map(|(firing, fired)| list.fired(firing, *fired));
    let acted = batch.schedules.iter().filter_map(|(schedule, change)| list.acted(schedule, change));
    let ended = batch.runs.iter().zip(&committed.ran).filter(|(_, written)| **written);
    let ended = ended.filter_map(|(note, _)| list.ended(note));
    let steps = batch.steps.iter().zip(&committed.stepped);
    let steps = steps.filter(|(step, stepped)| step.tell && **stepped == Stepped::Done);
    settled
        .chain(moved.into_iter().map(|moved| list.moved(moved)))
        .chain(new)
        .chain(besides.iter().map(|(kind, what)| Happened { at: batch.now, kind: *kind, what: what.clone() }))
        .chain(acted)
        .chain(fired)
        .chain(steps.map(|(step, _)| list.progress(step)))
        .chain(ended)
        .chain(list.permits(batch, committed))
        .chain(late.into_iter().map(|moved| list.moved(moved)))
        .chain(waiting)
        .collect()
}

struct List<'a> {
    at: Timestamp,
    names: &'a Names,
}

impl List<'_> {
    fn told(&self, kind: EventKind, change: MessageChange) -> Happened {
        Happened { at: self.at, kind, what: What::Message(change) }
    }

    /// A message, but for its state and the reason of it.
    fn message(
        &self,
        message: tidings_model::MessageId,
        channel: ChannelId,
        template: TemplateId,
        recipient: &str,
    ) -> impl FnOnce(State, Option<&'static str>) -> MessageChange + use<> {
        let (channel, template, recipient) =
            (self.names.channel(channel), self.names.template(template), recipient.to_owned());
        move |state, reason| MessageChange {
            message,
            channel,
            template,
            recipient,
            state,
            reason,
            detail: String::new(),
            provider_id: None,
            trace: None,
        }
    }

    fn settled(&self, settle: &Settle, whose: &Whose) -> Happened {
        let settlement = &settle.settlement;
        let change = self.message(settle.message, settle.channel, whose.template, &whose.recipient);
        let change = MessageChange {
            detail: settlement.detail.clone(),
            provider_id: settlement.provider_id.clone().map(cut),
            trace: whose.trace,
            ..change(settlement.to, settlement.reason)
        };
        self.told(after_attempt(settlement.to), change)
    }

    /// Permits that came, by their source, and permits that nobody used in time. One of each for a transaction: they come
    /// by the thousand.
    fn permits(&self, batch: &Batch, committed: &Committed) -> Vec<Happened> {
        let mut new: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for (credential, taken) in batch.credentials.iter().zip(&committed.credentials) {
            if matches!(taken, CredentialIntake::New(_)) {
                *new.entry((credential.app.as_str(), credential.source.as_str())).or_default() += 1;
            }
        }
        let added = new.into_iter().map(|((app, source), count)| {
            (EventKind::CredentialAdded, What::Credentials { app: Arc::from(app), source: Arc::from(source), count })
        });
        let unused: u64 = committed.swept.iter().map(|swept| u64::from(swept.unused)).sum();
        let expired = What::Credentials { app: Name::default(), source: Name::default(), count: unused };
        let expired = (unused > 0).then_some((EventKind::CredentialExpired, expired));
        added.chain(expired).map(|(kind, what)| Happened { at: self.at, kind, what }).collect()
    }

    fn accepted(&self, new: &NewMessage, accepted: &Accepted) -> Option<Happened> {
        let Accepted::New(message) = accepted else { return None };
        let state = if new.send_at.is_some_and(|due| due > self.at) { State::Scheduled } else { State::Queued };
        let change = self.message(*message, new.channel, new.template, new.recipient.as_str());
        let change = MessageChange { trace: named(new.trace.as_deref()), ..change(state, None) };
        Some(self.told(EventKind::MessageAccepted, change))
    }

    fn moved(&self, moved: &Moved) -> Happened {
        let change = self.message(moved.message, moved.channel, moved.template, &moved.recipient);
        let change = MessageChange { detail: moved.detail.clone(), ..change(moved.to, moved.reason) };
        self.told(without_attempt(moved.event, moved.to), change)
    }

    fn fired(&self, firing: &Firing, fired: Fired) -> impl Iterator<Item = Happened> + use<> {
        let at = self.at;
        let schedule: Name = Arc::from(firing.schedule.as_str());
        let begun = match fired {
            Fired::Run(run) => Some(What::Run { run, schedule: Arc::clone(&schedule), ended: None }),
            Fired::Nothing | Fired::Before(_) => None,
        };
        let is_unfired = |verdict| matches!(verdict, Verdict::Missed | Verdict::SkippedOverlap);
        let alone = firing.verdicts.iter().map(|decided| (decided.at, decided.at, 1, decided.verdict));
        let spans = firing.span.iter().map(|span| (span.first, span.last, span.count, span.verdict));
        let unfired: Vec<_> = spans.chain(alone).filter(|(.., verdict)| is_unfired(*verdict)).collect();
        let missed = match (unfired.first(), unfired.last()) {
            (Some((first, ..)), Some((_, last, _, verdict))) => Some(What::Missed {
                schedule,
                count: unfired.iter().map(|(_, _, count, _)| count).sum(),
                first: *first,
                last: *last,
                verdict: verdict.as_str(),
            }),
            _ => None,
        };
        let told = [(EventKind::ScheduleMissed, missed), (EventKind::RunBegun, begun)];
        told.into_iter().filter_map(move |(kind, what)| Some(Happened { at, kind, what: what? }))
    }

    /// What an operator did to a schedule. What it leaves out or runs later is told as its times come.
    fn acted(&self, schedule: &ScheduleName, change: &ScheduleChange) -> Option<Happened> {
        let (kind, reason) = match change {
            ScheduleChange::Pause { note, .. } => (EventKind::SchedulePaused, cut(note.clone())),
            ScheduleChange::Resume => (EventKind::ScheduleResumed, String::new()),
            ScheduleChange::Skip { .. }
            | ScheduleChange::Backfill { .. }
            | ScheduleChange::EndBackfill
            | ScheduleChange::Remove { .. } => return None,
        };
        let what = What::Schedule { schedule: Arc::from(schedule.as_str()), reason };
        Some(Happened { at: self.at, kind, what })
    }

    fn ended(&self, note: &RunNote) -> Option<Happened> {
        let (state, result) = note.ended.clone()?;
        let ended = Some((state, cut(result)));
        let what = What::Run { run: note.run, schedule: Arc::from(note.schedule.as_str()), ended };
        Some(Happened { at: self.at, kind: EventKind::RunEnded, what })
    }

    fn progress(&self, step: &RunStep) -> Happened {
        let schedule = Arc::from(step.schedule.as_str());
        let what = What::Progress { run: step.run, schedule, done: step.done, total: step.total };
        Happened { at: self.at, kind: EventKind::RunProgress, what }
    }
}

/// What it is called that an attempt leads there.
fn after_attempt(to: State) -> EventKind {
    match to {
        State::Sent => EventKind::MessageSent,
        State::Delivered => EventKind::MessageDelivered,
        State::Failed => EventKind::MessageFailed,
        State::Unknown => EventKind::MessageUnknown,
        State::Held => EventKind::MessageHeld,
        State::Expired => EventKind::MessageExpired,
        State::Cancelled => EventKind::MessageCancelled,
        State::Waiting => EventKind::MessageWaiting,
        State::Scheduled | State::Queued | State::Sending => EventKind::MessageDeferred,
    }
}

/// What it is called that something other than an attempt moved a message.
fn without_attempt(event: Event, to: State) -> EventKind {
    match event {
        Event::Retry | Event::RetryLater => EventKind::MessageRetried,
        Event::Release => EventKind::MessageReleased,
        // Cancelled, held, expired, delivered; what bounced has failed, and its reason says so.
        _ => after_attempt(to),
    }
}

/// Cuts at the bound of texts for people, on a character.
pub(crate) fn cut(mut text: String) -> String {
    if text.len() > DETAIL_BYTES_MAX {
        text.truncate(text.floor_char_boundary(DETAIL_BYTES_MAX));
    }
    text
}
