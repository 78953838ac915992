//! The states of a message and the one table of moves between them.
//!
//! No other move is possible: the store asks [`next`] before it writes, the documents print [`TABLE`],
//! and a test walks every pair. *May a cancelled message be retried?* Look for `Cancelled` below.

use std::fmt;

/// Where a message stands. The numbers are what the store writes; they never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum State {
    /// For later, or between two attempts.
    Scheduled = 0,
    /// Due; goes as soon as its channel lets it.
    Queued = 1,
    /// Due, but there is no usable credential yet.
    Waiting = 2,
    /// Claimed: one attempt is under way.
    Sending = 3,
    /// Stopped by an operator or a policy until somebody acts.
    Held = 4,
    /// The provider accepted it.
    Sent = 5,
    /// The provider's receipt says it arrived.
    Delivered = 6,
    /// It will not be sent, and the reason says why.
    Failed = 7,
    /// It may have arrived, and no further try can tell.
    Unknown = 8,
    /// Its time ran out before it could be sent.
    Expired = 9,
    /// Somebody withdrew it.
    Cancelled = 10,
}

impl State {
    /// Every state, in the order of their numbers.
    pub const ALL: [State; 11] = [
        State::Scheduled,
        State::Queued,
        State::Waiting,
        State::Sending,
        State::Held,
        State::Sent,
        State::Delivered,
        State::Failed,
        State::Unknown,
        State::Expired,
        State::Cancelled,
    ];

    /// The word for it: in the API, on screens, in filters.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Scheduled => "scheduled",
            State::Queued => "queued",
            State::Waiting => "waiting",
            State::Sending => "sending",
            State::Held => "held",
            State::Sent => "sent",
            State::Delivered => "delivered",
            State::Failed => "failed",
            State::Unknown => "unknown",
            State::Expired => "expired",
            State::Cancelled => "cancelled",
        }
    }

    /// The state of that word.
    pub fn from_name(name: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// The state of that number in the store.
    pub fn from_code(code: i64) -> Option<State> {
        State::ALL.into_iter().find(|state| state.code() == code)
    }

    /// The number in the store.
    pub fn code(self) -> i64 {
        i64::from(self as u8)
    }

    /// Whether it stays here unless a receipt or an operator moves it.
    pub fn is_terminal(self) -> bool {
        self >= State::Sent
    }

    /// Whether it stopped short of being sent: what operators look at by reason and may send again.
    pub fn is_dead(self) -> bool {
        matches!(self, State::Held | State::Failed | State::Unknown | State::Expired | State::Cancelled)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What can happen to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// Its time came.
    Due,
    /// It was to be claimed, and no credential fits.
    NoCredential,
    /// A credential for its recipient came, or came back.
    CredentialArrived,
    /// It was taken for one attempt.
    Claim,
    /// The provider took it (or had taken it before).
    Accept,
    /// The attempt left it unsent; another follows later.
    Defer,
    /// The attempt left it unsent through no fault of its own; it stays due.
    Return,
    /// It cannot be sent.
    Reject,
    /// Nobody can say whether it arrived, and no try may follow.
    Lose,
    /// Its time ran out.
    Expire,
    /// An operator or a policy stops it.
    Hold,
    /// An operator lets it go on.
    Release,
    /// Somebody withdraws it.
    Cancel,
    /// An operator sends it again from the start.
    Retry,
    /// An operator sends it again from the start, at a time of its own: one of many that must not go all at once.
    RetryLater,
    /// A receipt says it arrived.
    Deliver,
    /// A receipt says it did not.
    Bounce,
}

impl Event {
    /// Every event, in reading order.
    pub const ALL: [Event; 17] = [
        Event::Due,
        Event::NoCredential,
        Event::CredentialArrived,
        Event::Claim,
        Event::Accept,
        Event::Defer,
        Event::Return,
        Event::Reject,
        Event::Lose,
        Event::Expire,
        Event::Hold,
        Event::Release,
        Event::Cancel,
        Event::Retry,
        Event::RetryLater,
        Event::Deliver,
        Event::Bounce,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Event::Due => "due",
            Event::NoCredential => "no credential",
            Event::CredentialArrived => "credential arrived",
            Event::Claim => "claim",
            Event::Accept => "accept",
            Event::Defer => "defer",
            Event::Return => "return",
            Event::Reject => "reject",
            Event::Lose => "lose",
            Event::Expire => "expire",
            Event::Hold => "hold",
            Event::Release => "release",
            Event::Cancel => "cancel",
            Event::Retry => "retry",
            Event::RetryLater => "retry later",
            Event::Deliver => "deliver",
            Event::Bounce => "bounce",
        }
    }
}

/// Every move there is: from, on, to.
#[rustfmt::skip]
pub const TABLE: &[(State, Event, State)] = {
    use Event::*;
    use State::{Cancelled, Delivered, Expired, Failed, Held, Queued, Scheduled, Sending, Sent, Unknown, Waiting};
    &[
        (Scheduled, Due,               Queued),
        (Scheduled, Expire,            Expired),
        (Scheduled, Hold,              Held),
        (Scheduled, Cancel,            Cancelled),
        (Queued,    NoCredential,      Waiting),
        (Queued,    Claim,             Sending),
        (Queued,    Expire,            Expired),
        (Queued,    Hold,              Held),
        (Queued,    Cancel,            Cancelled),
        (Waiting,   CredentialArrived, Queued),
        (Waiting,   Expire,            Expired),
        (Waiting,   Hold,              Held),
        (Waiting,   Cancel,            Cancelled),
        (Sending,   Accept,            Sent),
        (Sending,   Defer,             Scheduled),
        (Sending,   Return,            Queued),
        (Sending,   Reject,            Failed),
        (Sending,   Lose,              Unknown),
        (Sending,   Expire,            Expired),
        (Sending,   Hold,              Held),
        (Held,      Release,           Queued),
        (Held,      Expire,            Expired),
        (Held,      Cancel,            Cancelled),
        (Held,      Retry,             Queued),
        (Held,      RetryLater,        Scheduled),
        (Sent,      Deliver,           Delivered),
        (Sent,      Bounce,            Failed),
        (Failed,    Retry,             Queued),
        (Failed,    RetryLater,        Scheduled),
        (Unknown,   Retry,             Queued),
        (Unknown,   RetryLater,        Scheduled),
        (Unknown,   Deliver,           Delivered),
        (Unknown,   Bounce,            Failed),
        (Expired,   Retry,             Queued),
        (Expired,   RetryLater,        Scheduled),
        (Cancelled, Retry,             Queued),
        (Cancelled, RetryLater,        Scheduled),
    ]
};

/// The move was refused: the table has no such row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Where the message stands.
    pub state: State,
    /// What was asked of it.
    pub event: Event,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message that is {} takes no `{}`", self.state, self.event.as_str())
    }
}

impl std::error::Error for Refused {}

/// Where `event` takes a message that is in `state`.
pub fn next(state: State, event: Event) -> Result<State, Refused> {
    TABLE
        .iter()
        .find(|(from, on, _)| *from == state && *on == event)
        .map(|(_, _, to)| *to)
        .ok_or(Refused { state, event })
}

/// The states from which `event` leads anywhere: what a statement that applies it must ask for.
pub fn sources(event: Event) -> impl Iterator<Item = State> {
    TABLE.iter().filter(move |(_, on, _)| *on == event).map(|(from, _, _)| *from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_of_state_and_event_stands_in_the_table_at_most_once() {
        for state in State::ALL {
            for event in Event::ALL {
                let rows = TABLE.iter().filter(|row| row.0 == state && row.1 == event).count();
                assert!(rows <= 1, "{state} on {event:?} stands {rows} times");
                assert_eq!(next(state, event).is_ok(), rows == 1);
            }
        }
    }

    #[test]
    fn every_event_has_a_source_and_a_single_target() {
        for event in Event::ALL {
            let mut targets: Vec<State> = TABLE.iter().filter(|row| row.1 == event).map(|row| row.2).collect();
            targets.dedup();
            assert_eq!(targets.len(), 1, "{event:?} leads to {targets:?}");
        }
    }

    #[test]
    fn a_message_that_was_sent_is_never_sent_again() {
        for state in [State::Sent, State::Delivered] {
            assert!(next(state, Event::Retry).is_err());
            assert!(next(state, Event::RetryLater).is_err());
            assert!(next(state, Event::Claim).is_err());
        }
    }

    #[test]
    fn what_stopped_short_of_being_sent_may_be_sent_again_and_nothing_else() {
        for state in State::ALL {
            assert_eq!(next(state, Event::Retry).is_ok(), state.is_dead(), "{state}, now");
            assert_eq!(next(state, Event::RetryLater).is_ok(), state.is_dead(), "{state}, later");
        }
    }

    #[test]
    fn only_queued_messages_are_claimed() {
        assert_eq!(sources(Event::Claim).collect::<Vec<_>>(), [State::Queued]);
    }

    #[test]
    fn words_and_numbers_read_back() {
        for state in State::ALL {
            assert_eq!(State::from_name(state.as_str()), Some(state));
            assert_eq!(State::from_code(state.code()), Some(state));
        }
        assert_eq!(State::from_code(11), None);
    }

    #[test]
    fn a_refusal_reads_as_a_sentence() {
        let refused = next(State::Sent, Event::Cancel).unwrap_err();
        assert_eq!(refused.to_string(), "a message that is sent takes no `cancel`");
    }
}
