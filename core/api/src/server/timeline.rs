//! The history of one message in one list: what stands in its row, its attempts, the acts of operators, and the moments
//! kept beside them. A pure function of them.

use tidings_model::{State, Timestamp};
use tidings_store::{AttemptRow, AuditRow, MessageRow, MomentRow};

use crate::wire;

/// Everything that happened to the message and has a time, in its order.
pub(super) fn timeline(
    message: &MessageRow,
    attempts: &[AttemptRow],
    acts: &[AuditRow],
    moments: &[MomentRow],
) -> Vec<wire::Moment> {
    let mut told: Vec<(Timestamp, &str, Option<String>)> = Vec::new();
    told.push((message.created_at, "accepted", None));
    told.extend(moments.iter().map(|moment| (moment.at, moment.what.as_str(), moment.detail.clone())));
    told.extend(acts.iter().map(|act| (act.at, act.act.as_str(), Some(by(act)))));
    told.extend(attempts.iter().map(|attempt| (attempt.started_at, "attempt", Some(outcome(attempt)))));
    told.extend(end(message));
    // What comes later in the list comes later of what happened in one instant.
    told.sort_by_key(|(at, _, _)| *at);
    told.into_iter()
        .map(|(at, what, detail)| wire::Moment { at: at.to_rfc3339(), what: what.to_owned(), detail })
        .collect()
}

/// The state it ended in, where nothing else tells it: what failed or is unknown did so by an attempt or a receipt, and
/// what an operator cancelled by his act.
fn end(message: &MessageRow) -> Option<(Timestamp, &'static str, Option<String>)> {
    let tells = match message.state {
        State::Sent | State::Delivered | State::Expired => true,
        State::Cancelled => message.reason.as_deref() != Some("cancelled"),
        _ => false,
    };
    let at = message.finished_at.filter(|_| tells)?;
    Some((at, message.state.as_str(), message.detail.clone()))
}

fn by(act: &AuditRow) -> String {
    match &act.why {
        None => format!("by {}", act.who),
        Some(why) => format!("by {}: {why}", act.who),
    }
}

fn outcome(attempt: &AttemptRow) -> String {
    let took = attempt.ended_at.since(attempt.started_at).as_millis();
    let detail = if attempt.detail.is_empty() { String::new() } else { format!(": {}", attempt.detail) };
    format!("{} after {took} ms{detail}", attempt.outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_model::{AuditId, MessageId};

    const NOON: Timestamp = Timestamp(1_700_000_000_000);

    fn at(seconds: i64) -> Timestamp {
        Timestamp(NOON.0 + seconds * 1000)
    }

    fn message(state: State, reason: Option<&str>) -> MessageRow {
        MessageRow {
            id: MessageId(1),
            channel: "orders".to_owned(),
            template: "order-paid".to_owned(),
            recipient: "ann".to_owned(),
            state,
            priority: 0,
            due_at: NOON,
            attempts: 2,
            ambiguous: false,
            expires_at: None,
            created_at: NOON,
            finished_at: state.is_terminal().then(|| at(50)),
            reason: reason.map(str::to_owned),
            detail: None,
            provider_id: None,
            run: None,
            data: None,
            trace: None,
        }
    }

    fn moment(what: &str, seconds: i64) -> MomentRow {
        MomentRow { what: what.to_owned(), at: at(seconds), detail: None }
    }

    fn whats(told: &[wire::Moment]) -> Vec<&str> {
        told.iter().map(|moment| moment.what.as_str()).collect()
    }

    #[test]
    fn everything_stands_in_the_order_of_its_time() {
        let attempt = AttemptRow {
            generation: 1,
            started_at: at(30),
            ended_at: at(31),
            outcome: "retry".to_owned(),
            detail: "busy".to_owned(),
        };
        let act = AuditRow {
            id: AuditId(1),
            at: at(32),
            who: "ops".to_owned(),
            act: "message.retry".to_owned(),
            subject: String::new(),
            why: Some("mended".to_owned()),
            detail: None,
            count: None,
        };
        let moments = [moment("waiting", 1), moment("bound", 29), moment("sent", 40)];
        let told = timeline(&message(State::Delivered, None), &[attempt], &[act], &moments);
        let expected = ["accepted", "waiting", "bound", "attempt", "message.retry", "sent", "delivered"];
        assert_eq!(whats(&told), expected);
        assert_eq!(told[0].at, NOON.to_rfc3339());
        assert_eq!(told[3].detail.as_deref(), Some("retry after 1000 ms: busy"));
        assert_eq!(told[4].detail.as_deref(), Some("by ops: mended"));
        assert_eq!(told[6].at, at(50).to_rfc3339());
    }

    #[test]
    fn of_one_instant_what_follows_stands_behind_what_it_follows_from() {
        let mut sent = message(State::Sent, None);
        sent.finished_at = Some(NOON);
        assert_eq!(whats(&timeline(&sent, &[], &[], &[moment("bound", 0)])), ["accepted", "bound", "sent"]);
    }

    #[test]
    fn every_end_is_told_once() {
        for state in State::ALL {
            let told = timeline(&message(state, Some("any")), &[], &[], &[]);
            let alone = [State::Sent, State::Delivered, State::Expired, State::Cancelled].contains(&state);
            assert_eq!(whats(&told)[1..], if alone { vec![state.as_str()] } else { vec![] }, "{state}");
        }
        // The act of an operator tells that one.
        assert_eq!(whats(&timeline(&message(State::Cancelled, Some("cancelled")), &[], &[], &[])), ["accepted"]);
    }
}
