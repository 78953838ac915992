//! Acts on many messages: first a plan, then the act on those of the plan and no others.
//!
//! There is one way for all of them. A plan counts the messages of a filter, shows some, and gives a cursor; the act goes
//! through them from the oldest on, in steps of one transaction, and moves each only from the state it was looked for in.
//! A call moves a bounded number and gives the cursor to go on with, so that whoever is interrupted begins where it
//! stopped. What was accepted, or ended, after the plan was made is not its business.
//!
//! A retry gives each message a time of its own and writes it: nobody has to stay awake for it to go on, a crash in the
//! middle loses nothing, and the provider sees the rate.

use std::time::Duration;

use tidings_model::limits::{BULK_CALL_MAX, BULK_STEP_MAX};
use tidings_model::rate::Rate;
use tidings_model::state::{next, sources};
use tidings_model::{Event, MessageId, State, Timestamp};
use tidings_store::{
    AuditEntry, BulkCount, BulkFilter, MessageFilter, MessageRow, Operated, Operation, Planned, Span, fingerprint,
};

use crate::acts::{By, words};
use crate::config::rate;
use crate::dead::dead;
use crate::handle::EngineHandle;
use crate::refusal::Refusal;
use crate::writer::Deed;

/// The rate of a bulk retry that names none: a provider notices no burst, and ten thousand go in three minutes.
pub const RETRY_RATE: &str = "50/s";
/// Messages shown of those that a plan is for.
const SAMPLE_ROWS: u32 = 5;

/// What is done to many messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkKind {
    /// Withdrawn.
    Cancel,
    /// Stopped until they are released.
    Hold,
    /// Let go on, all of them now.
    Release,
    /// Sent again from the start, one after the other.
    Retry,
}

impl BulkKind {
    fn event(self) -> Event {
        match self {
            BulkKind::Cancel => Event::Cancel,
            BulkKind::Hold => Event::Hold,
            BulkKind::Release => Event::Release,
            BulkKind::Retry => Event::RetryLater,
        }
    }
}

/// An act on many messages.
#[derive(Debug, Clone)]
pub struct BulkAct {
    /// What is done to them.
    pub kind: BulkKind,
    /// Which. Without a state it is for every state that allows the act, but for a retry, which names one.
    pub filter: BulkFilter,
    /// Accepted at this instant or later. With a cursor the plan has said so.
    pub newer_than: Option<Timestamp>,
    /// Accepted before this instant. With a cursor the plan has said so.
    pub older_than: Option<Timestamp>,
    /// How fast a retry goes, as in `50/s`; [`RETRY_RATE`] if not given.
    pub rate: Option<String>,
    /// Who, and why.
    pub by: By,
    /// Where the plan, or the call before this one, said to go on.
    pub cursor: Option<String>,
}

/// What an act on many messages would do.
#[derive(Debug, Clone)]
pub struct BulkPlan {
    /// How many messages it is for.
    pub count: u64,
    /// They by state and channel.
    pub groups: Vec<(State, String, u64)>,
    /// What becomes of them, in a sentence.
    pub effect: String,
    /// Some of them, the newest.
    pub sample: Vec<MessageRow>,
    /// How fast they go, and how long until the last of them is due; of a retry.
    pub pace: Option<(Rate, Duration)>,
    /// Whether some may have arrived, and arrive twice.
    pub may_arrive_twice: bool,
    /// What to carry it out with: it is then for these messages and no others. `None` if there are none.
    pub next: Option<String>,
}

/// What an act on many messages did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BulkDone {
    /// Messages that were moved.
    pub moved: u64,
    /// Messages that somebody else moved meanwhile.
    pub passed_over: u64,
    /// Messages that wait for the next call.
    pub left: u64,
    /// When the last of those that were moved is due; of a retry.
    pub last_due_at: Option<Timestamp>,
    /// What to go on with; `None` at the end.
    pub next: Option<String>,
}

impl EngineHandle {
    /// What [`EngineHandle::act_on_many`] would do. Nothing changes.
    pub async fn plan_for_many(&self, asked: &BulkAct) -> Result<BulkPlan, Refusal> {
        let (filter, rate) = (states_of(asked)?, pace(asked)?);
        let (place, counted) = match self.go_on(asked, &filter)? {
            Some(place) => (place, self.reader().count_bulk(&filter, place.span).await?),
            None => self.begin(asked, &filter).await?,
        };
        let count = counted.sum();
        let takes = |rate: Rate| rate.place(place.start, u32::try_from(count).unwrap_or(u32::MAX)).since(place.start);
        let pace = rate.map(|rate| (rate, takes(rate)));
        let may_arrive = counted.ambiguous || (filter.states.contains(&State::Unknown) && count > 0);
        let may_arrive_twice = may_arrive && matches!(asked.kind, BulkKind::Retry | BulkKind::Release);
        Ok(BulkPlan {
            count,
            effect: effect(asked.kind, count, pace, may_arrive_twice),
            groups: counted.groups,
            sample: if count == 0 { Vec::new() } else { self.sample(&filter, place.span).await? },
            pace,
            may_arrive_twice,
            next: (count > 0).then(|| place.cursor()),
        })
    }

    /// The newest of those in that span.
    async fn sample(&self, filter: &BulkFilter, span: Span) -> Result<Vec<MessageRow>, Refusal> {
        let mut sample = Vec::new();
        for state in &filter.states {
            let list = MessageFilter {
                state: Some(*state),
                channel: filter.channel.clone(),
                template: filter.template.clone(),
                recipient: filter.recipient.clone(),
                reason: filter.reason.clone(),
                run: filter.run,
                before: Some(span.until.0.saturating_add(1)),
                limit: SAMPLE_ROWS,
                ..MessageFilter::default()
            };
            sample.extend(self.reader().messages(&list).await?.rows.into_iter().filter(|row| row.id > span.after));
        }
        sample.sort_unstable_by_key(|row| std::cmp::Reverse(row.id));
        sample.truncate(usize::try_from(SAMPLE_ROWS).expect("a sample is small"));
        Ok(sample)
    }

    /// Does it to the messages of the filter, or of the plan whose cursor is given, in bounded steps of one transaction
    /// each and no more than a bounded number of them.
    pub async fn act_on_many(&self, asked: &BulkAct) -> Result<BulkDone, Refusal> {
        let (filter, rate) = (states_of(asked)?, pace(asked)?);
        let mut place = match self.go_on(asked, &filter)? {
            Some(place) => place,
            None => self.begin(asked, &filter).await?.0,
        };
        let event = asked.kind.event();
        let (act, changed) = words(event);
        let note = asked.by.note(&format!("{changed} with others"));
        let entry = AuditEntry { detail: Some(filter.to_string()), ..asked.by.entry(act, "messages") };
        let planned = Planned { at: place.planned_at, now: self.now() };
        let found = self.reader().bulk(&filter, place.span, planned, BULK_CALL_MAX).await?;
        let due_at = |index: u32| rate.map(|rate| rate.place(place.start, index));
        let (mut done, mut onto) = (BulkDone::default(), None);
        for (step, number) in found.chunks(usize::try_from(BULK_STEP_MAX).expect("a step is small")).zip(0_u32..) {
            let first = number * BULK_STEP_MAX;
            let operations = (first..).zip(step).map(|(index, (message, from))| Operation {
                message: *message,
                event,
                from: Some(*from),
                due_at: due_at(index),
                reason: None,
                note: note.clone(),
            });
            let deed = Deed { operations: operations.collect(), entry: Some(entry.clone()), onto };
            let answer = self.shared.writer.operate(deed).await?;
            onto = answer.recorded;
            for (index, operated) in (first..).zip(answer.operated) {
                if matches!(operated, Operated::Moved(_)) {
                    done.moved += 1;
                    done.last_due_at = due_at(index).or(done.last_due_at);
                } else {
                    done.passed_over += 1;
                }
            }
        }
        let count = u32::try_from(found.len()).expect("a call is bounded");
        place.start = due_at(count).unwrap_or(place.start);
        if let Some((last, _)) = found.last().filter(|_| count == BULK_CALL_MAX) {
            place.span.after = *last;
            place.left = place.left.saturating_sub(u64::from(count));
            (done.left, done.next) = (place.left, (place.left > 0).then(|| place.cursor()));
        }
        Ok(done)
    }

    /// Where the act goes on; `None` if it begins.
    fn go_on(&self, asked: &BulkAct, filter: &BulkFilter) -> Result<Option<Place>, Refusal> {
        let Some(text) = &asked.cursor else { return Ok(None) };
        let place = Place::read(text).ok_or_else(|| {
            let detail = format!("`{}` is no cursor of an act on many; begin without one", text.escape_debug());
            Refusal::invalid("cursor-invalid", detail)
        })?;
        if place.mark != mark(asked.kind, filter) {
            let detail = "the cursor belongs to another act or filter; ask for its plan, or begin without one";
            return Err(Refusal::invalid("cursor-invalid", detail));
        }
        Ok(Some(Place { start: place.start.max(self.now()), ..place }))
    }

    /// Where the act begins, and what it is for. What comes from now on is not among them.
    async fn begin(&self, asked: &BulkAct, filter: &BulkFilter) -> Result<(Place, BulkCount), Refusal> {
        let BulkAct { kind, newer_than, older_than, .. } = *asked;
        let now = self.now();
        let mut span =
            self.reader().span(&MessageFilter { newer_than, older_than, ..MessageFilter::default() }).await?;
        let counted = self.reader().count_bulk(filter, span).await?;
        span.until = counted.last.unwrap_or(span.after).min(span.until);
        let place = Place { span, start: now, planned_at: now, left: counted.sum(), mark: mark(kind, filter) };
        Ok((place, counted))
    }
}

/// What a cursor is for.
fn mark(kind: BulkKind, filter: &BulkFilter) -> i64 {
    fingerprint(format!("{:?} {filter}", kind.event()).as_bytes())
}

/// The filter with the states it is for.
fn states_of(asked: &BulkAct) -> Result<BulkFilter, Refusal> {
    let BulkAct { kind, filter, newer_than, older_than, .. } = asked;
    let event = kind.event();
    for state in &filter.states {
        if *kind == BulkKind::Retry {
            dead(*state)?;
        }
        if let Err(refused) = next(*state, event) {
            let may: Vec<&str> = sources(event).map(State::as_str).collect();
            let detail = format!("{refused}; ask for one of {}", may.join(", "));
            return Err(Refusal::invalid("state-unfit", detail));
        }
    }
    let BulkFilter { states, channel, template, recipient, reason, run } = filter;
    let named = run.is_some() || [channel, template, recipient, reason].iter().any(|name| name.is_some());
    if states.is_empty() && !named && newer_than.is_none() && older_than.is_none() {
        let detail = "the filter is empty, and would be for every message there is; name a state at least";
        return Err(Refusal::invalid("filter-empty", detail));
    }
    // What is on its way is in doubt once it is stopped: that is done to nobody who was not named.
    let by_itself = sources(event).filter(|state| *state != State::Sending);
    let states = if states.is_empty() { by_itself.collect() } else { states.clone() };
    Ok(BulkFilter { states, ..filter.clone() })
}

/// The rate of a retry.
fn pace(asked: &BulkAct) -> Result<Option<Rate>, Refusal> {
    if asked.kind != BulkKind::Retry {
        return Ok(None);
    }
    rate(asked.rate.as_deref().unwrap_or(RETRY_RATE))
        .map(Some)
        .map_err(|wrong| Refusal::invalid("rate-invalid", format!("`rate`: {wrong}")))
}

/// What becomes of the messages, in a sentence.
fn effect(kind: BulkKind, count: u64, pace: Option<(Rate, Duration)>, may_arrive_twice: bool) -> String {
    let messages = if count == 1 { "1 message is".to_owned() } else { format!("{count} messages are") };
    let mut text = match kind {
        BulkKind::Cancel => format!("{messages} withdrawn and not sent; a retry takes that back"),
        BulkKind::Hold => format!("{messages} stopped until somebody releases, retries or cancels them"),
        BulkKind::Release => format!("{messages} due at once, and go as fast as their channels send"),
        BulkKind::Retry => {
            let takes = pace.map_or(0, |(_, takes)| takes.as_secs());
            format!("{messages} sent again from the start, one after the other; the last goes after {takes} s")
        }
    };
    if may_arrive_twice {
        text.push_str("; some may have arrived already, and whoever got one may get it twice");
    }
    text
}

/// Where an act on many is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// The messages it is still for.
    span: Span,
    /// When the next of them goes.
    start: Timestamp,
    planned_at: Timestamp,
    /// How many of those that were counted are not looked at yet.
    left: u64,
    /// The fingerprint of the act and its filter.
    mark: i64,
}

impl Place {
    fn cursor(self) -> String {
        let Place { span, start, planned_at, left, mark } = self;
        format!("{}.{}.{}.{}.{left}.{mark}", span.after.0, span.until.0, start.0, planned_at.0)
    }

    fn read(text: &str) -> Option<Place> {
        let numbers: Vec<i64> = text.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
        let [after, until, start, planned_at, left, mark] = numbers.try_into().ok()?;
        Some(Place {
            span: Span { after: MessageId(after), until: MessageId(until) },
            start: Timestamp(start),
            planned_at: Timestamp(planned_at),
            left: u64::try_from(left).ok()?,
            mark,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(kind: BulkKind, states: &[State]) -> BulkAct {
        BulkAct {
            kind,
            filter: BulkFilter { states: states.to_vec(), ..BulkFilter::default() },
            newer_than: None,
            older_than: None,
            rate: None,
            by: By::new("test", None).unwrap(),
            cursor: None,
        }
    }

    #[test]
    fn a_cursor_reads_back_and_nothing_else_does() {
        let place = Place {
            span: Span { after: MessageId(7), until: MessageId(9) },
            start: Timestamp(1_700_000),
            planned_at: Timestamp(1_600_000),
            left: 3,
            mark: -4,
        };
        assert_eq!(Place::read(&place.cursor()), Some(place));
        for wrong in ["", "7", "7.9.1", "7.9.1.1.1.x", "7.9.1.1.-1.1", "7.9.1.1.1.1.1", "7..9.1.1.1"] {
            assert_eq!(Place::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_act_is_for_the_states_that_the_table_allows_and_no_others() {
        for kind in [BulkKind::Cancel, BulkKind::Hold, BulkKind::Release, BulkKind::Retry] {
            for state in State::ALL {
                let allowed = next(state, kind.event()).is_ok();
                assert_eq!(states_of(&asked(kind, &[state])).is_ok(), allowed, "{kind:?} of {state}");
            }
        }
        let named = |kind| {
            let mut act = asked(kind, &[]);
            act.filter.channel = Some("orders".to_owned());
            states_of(&act).unwrap().states
        };
        assert_eq!(named(BulkKind::Cancel), [State::Scheduled, State::Queued, State::Waiting, State::Held]);
        assert_eq!(named(BulkKind::Hold), [State::Scheduled, State::Queued, State::Waiting]);
        assert_eq!(named(BulkKind::Release), [State::Held]);
    }

    #[test]
    fn a_filter_that_says_nothing_is_refused() {
        assert_eq!(states_of(&asked(BulkKind::Cancel, &[])).unwrap_err().code, "filter-empty");
    }
}
