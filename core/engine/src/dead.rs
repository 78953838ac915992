//! What stopped short of being sent: looked at by reason, and sent again in bulk at a rate.
//!
//! A bulk retry gives each message a time of its own and writes it: nobody has to stay awake for it to go on, a crash in
//! the middle loses nothing, and the provider sees the rate. It is for the messages that were there when it was planned;
//! one that fails again, or came since, is not its business.

use std::time::Duration;

use tidings_model::limits::{BULK_CALL_MAX, BULK_STEP_MAX};
use tidings_model::rate::Rate;
use tidings_model::{Event, MessageId, State, Timestamp};
use tidings_store::{
    AuditEntry, DeadCount, DeadFilter, MessageFilter, MessageRow, Operated, Operation, ReasonRow, Span,
};

use crate::acts::By;
use crate::config::rate;
use crate::handle::EngineHandle;
use crate::refusal::Refusal;
use crate::writer::Deed;

/// What is looked at when nobody says which: what an operator did not ask for and time did not bring.
const TROUBLE: [State; 3] = [State::Held, State::Failed, State::Unknown];
/// The rate of a bulk retry that names none: a provider notices no burst, and ten thousand go in three minutes.
pub const RETRY_RATE: &str = "50/s";
/// Messages shown of those that a plan is for.
const SAMPLE_ROWS: u32 = 5;

/// Which messages are to be sent again, how fast, and why.
#[derive(Debug, Clone)]
pub struct RetryMany {
    /// Which.
    pub filter: DeadFilter,
    /// How fast, as in `50/s`; [`RETRY_RATE`] if not given.
    pub rate: Option<String>,
    /// Who, and why.
    pub by: By,
    /// Where the plan or the call before this one said to go on.
    pub cursor: Option<String>,
}

/// What a bulk retry would do.
#[derive(Debug, Clone)]
pub struct RetryPlan {
    /// How many messages it is for.
    pub count: u64,
    /// Some of them, the newest.
    pub sample: Vec<MessageRow>,
    /// How fast.
    pub rate: Rate,
    /// How long until the last of them is due.
    pub takes: Duration,
    /// Whether some may have arrived, and arrive twice.
    pub may_arrive_twice: bool,
    /// What to carry it out with: it is then for these messages and no others. `None` if there are none.
    pub next: Option<String>,
}

/// What a bulk retry did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retried {
    /// Messages that have a time to go now.
    pub moved: u64,
    /// Messages that somebody else moved meanwhile.
    pub passed_over: u64,
    /// Messages that wait for the next call.
    pub left: u64,
    /// When the last of those that were moved is due.
    pub last_due_at: Option<Timestamp>,
    /// What to go on with; `None` at the end.
    pub next: Option<String>,
}

impl EngineHandle {
    /// The messages that stopped short of being sent, by channel, reason and template, the largest group first, and
    /// whether there are more groups than that. Of this state; without one, the held, the failed and the unknown.
    pub async fn reasons(
        &self,
        state: Option<State>,
        channel: Option<&str>,
    ) -> Result<(Vec<ReasonRow>, bool), Refusal> {
        let states = match state {
            Some(state) => vec![dead(state)?],
            None => TROUBLE.to_vec(),
        };
        Ok(self.reader().reasons(&states, channel).await?)
    }

    /// What [`EngineHandle::retry_many`] would do. Nothing changes.
    pub async fn plan_retry(&self, asked: &RetryMany) -> Result<RetryPlan, Refusal> {
        let (rate, place, DeadCount { count, ambiguous, .. }) = self.begin(asked).await?;
        let filter = &asked.filter;
        let sample = MessageFilter {
            state: Some(filter.state),
            channel: filter.channel.clone(),
            template: filter.template.clone(),
            reason: filter.reason.clone(),
            before: Some(place.span.until.0.saturating_add(1)),
            limit: SAMPLE_ROWS,
            ..MessageFilter::default()
        };
        Ok(RetryPlan {
            count,
            sample: if count == 0 { Vec::new() } else { self.reader().messages(&sample).await?.rows },
            rate,
            takes: rate.place(place.start, u32::try_from(count).unwrap_or(u32::MAX)).since(place.start),
            may_arrive_twice: ambiguous || (filter.state == State::Unknown && count > 0),
            next: (count > 0).then(|| place.cursor()),
        })
    }

    /// Gives the messages of the filter their times, one after the other at the rate, in bounded steps of one
    /// transaction each and no more than a bounded number of them.
    pub async fn retry_many(&self, asked: &RetryMany) -> Result<Retried, Refusal> {
        let (rate, mut place, _) = self.begin(asked).await?;
        let filter = &asked.filter;
        let note = asked.by.note("retried with others");
        let entry = AuditEntry { detail: Some(filter.to_string()), ..asked.by.entry("message.retry", "messages") };
        let mut onto = None;
        let (mut moved, mut passed_over, mut last_due_at, mut timed) = (0_u64, 0_u64, None, 0_u32);
        while timed < BULK_CALL_MAX {
            let step = self.reader().dead(filter, place.span, BULK_STEP_MAX).await?;
            let Some(last) = step.last() else { break };
            place.span.after = *last;
            let operations = (timed..).zip(&step).map(|(index, id)| Operation {
                message: *id,
                event: Event::RetryLater,
                from: Some(filter.state),
                due_at: Some(rate.place(place.start, index)),
                note: note.clone(),
            });
            let deed = Deed { operations: operations.collect(), entry: Some(entry.clone()), onto };
            let done = self.shared.writer.operate(deed).await?;
            onto = done.recorded;
            for (index, answer) in (timed..).zip(done.operated) {
                if matches!(answer, Operated::Moved(_)) {
                    moved += 1;
                    last_due_at = Some(rate.place(place.start, index));
                } else {
                    passed_over += 1;
                }
            }
            timed += u32::try_from(step.len()).expect("a step is bounded");
        }
        let left = self.reader().count_dead(filter, place.span).await?.count;
        place.start = rate.place(place.start, timed);
        Ok(Retried { moved, passed_over, left, last_due_at, next: (left > 0).then(|| place.cursor()) })
    }

    /// The rate, where it goes on, and what is left. What comes from now on is not among them.
    async fn begin(&self, asked: &RetryMany) -> Result<(Rate, Place, DeadCount), Refusal> {
        dead(asked.filter.state)?;
        let rate = rate(asked.rate.as_deref().unwrap_or(RETRY_RATE))
            .map_err(|wrong| Refusal::invalid("rate-invalid", format!("`rate`: {wrong}")))?;
        let mut place = match &asked.cursor {
            None => Place { span: Span::ALL, start: Timestamp::default() },
            Some(text) => Place::read(text).ok_or_else(|| {
                let detail = format!("`{}` is no cursor of a bulk retry; begin without one", text.escape_debug());
                Refusal::invalid("cursor-invalid", detail)
            })?,
        };
        place.start = place.start.max(self.now());
        let count = self.reader().count_dead(&asked.filter, place.span).await?;
        place.span.until = count.last.unwrap_or(place.span.after);
        Ok((rate, place, count))
    }
}

/// Where a bulk retry is: the messages it is still for, and when the next of them goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    span: Span,
    start: Timestamp,
}

impl Place {
    fn cursor(self) -> String {
        format!("{}.{}.{}", self.span.after.0, self.span.until.0, self.start.0)
    }

    fn read(text: &str) -> Option<Place> {
        let numbers: Vec<i64> = text.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
        let [after, until, start] = numbers.try_into().ok()?;
        Some(Place { span: Span { after: MessageId(after), until: MessageId(until) }, start: Timestamp(start) })
    }
}

/// The state, if messages that are there stopped short of being sent.
fn dead(state: State) -> Result<State, Refusal> {
    if state.is_dead() {
        return Ok(state);
    }
    let words: Vec<&str> = State::ALL.into_iter().filter(|state| state.is_dead()).map(State::as_str).collect();
    let detail =
        format!("messages that are {state} did not stop short of being sent; ask for one of {}", words.join(", "));
    Err(Refusal::invalid("state-goes-on", detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_nothing_else_does() {
        let place = Place { span: Span { after: MessageId(7), until: MessageId(9) }, start: Timestamp(1_700_000) };
        assert_eq!(Place::read(&place.cursor()), Some(place));
        for wrong in ["", "7", "7.9", "7.9.x", "7.9.1.1", "7..9"] {
            assert_eq!(Place::read(wrong), None, "{wrong}");
        }
    }
}
