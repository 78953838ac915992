//! How many messages of each channel are in each state: kept with every move, so that nothing ever counts rows.

use std::collections::{HashMap, HashSet};

use tidings_model::State;

use crate::batch::ChannelId;
use crate::error::StoreError;
use crate::sql::{Connection, Statement};

/// Each node of PostgreSQL's counts in rows of its own, so that none waits for another.
const LOAD_TALLY: Statement = Statement::new(
    "SELECT channel_id, state, count FROM tally",
    "SELECT channel_id, state, sum(count)::bigint FROM tally GROUP BY channel_id, state",
);

/// The committed counts.
#[derive(Debug, Default)]
pub(super) struct Tally {
    counts: HashMap<(ChannelId, State), i64>,
}

/// What one transaction changes of them.
#[derive(Debug, Default)]
pub(super) struct Moves {
    changes: HashMap<(ChannelId, State), i64>,
    /// Channels to whose queue something came back, nobody says where.
    queued_again: HashSet<ChannelId>,
}

impl Tally {
    pub(super) async fn load(connection: &mut Connection) -> Result<Tally, StoreError> {
        let rows = LOAD_TALLY.query().fetch_all(connection).await.map_err(StoreError::during("read the counts"))?;
        let mut tally = Tally::default();
        for row in rows {
            let state = State::from_code(row.get(1))
                .ok_or_else(|| StoreError::Corrupt(format!("state {} of a count", row.get::<i64>(1))))?;
            tally.counts.insert((ChannelId(row.get(0)), state), row.get(2));
        }
        Ok(tally)
    }

    pub(super) fn count(&self, channel: ChannelId, state: State) -> i64 {
        self.counts.get(&(channel, state)).copied().unwrap_or(0)
    }

    /// How many wait for a credential, in all channels.
    pub(super) fn waiting(&self) -> i64 {
        self.counts.iter().filter(|((_, state), _)| *state == State::Waiting).map(|(_, count)| count).sum()
    }

    /// How many are on their way, in all channels.
    pub(super) fn on_their_way(&self) -> i64 {
        self.counts.iter().filter(|((_, state), _)| !state.is_terminal()).map(|(_, count)| count).sum()
    }

    /// Takes what was committed.
    pub(super) fn apply(&mut self, moves: Moves) {
        for (key, change) in moves.changes {
            *self.counts.entry(key).or_default() += change;
        }
    }
}

impl Moves {
    /// Whether nothing moved.
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.queued_again.is_empty()
    }

    /// Both together.
    pub(super) fn add(&mut self, other: Moves) {
        for (key, change) in other.changes {
            *self.changes.entry(key).or_default() += change;
        }
        self.queued_again.extend(other.queued_again);
    }

    pub(super) fn enter(&mut self, channel: ChannelId, state: State) {
        *self.changes.entry((channel, state)).or_default() += 1;
    }

    pub(super) fn leave(&mut self, channel: ChannelId, state: State) {
        *self.changes.entry((channel, state)).or_default() -= 1;
    }

    pub(super) fn go(&mut self, channel: ChannelId, from: State, to: State) {
        self.go_many(channel, from, to, 1);
    }

    /// As many at once.
    pub(super) fn go_many(&mut self, channel: ChannelId, from: State, to: State, messages: i64) {
        self.shift(channel, from, to, messages);
        if to == State::Queued {
            self.queued_again.insert(channel);
        }
    }

    /// As many become due, of which it is known where they stand.
    pub(super) fn fall_due(&mut self, channel: ChannelId, messages: i64) {
        self.shift(channel, State::Scheduled, State::Queued, messages);
    }

    fn shift(&mut self, channel: ChannelId, from: State, to: State, messages: i64) {
        *self.changes.entry((channel, from)).or_default() -= messages;
        *self.changes.entry((channel, to)).or_default() += messages;
    }

    /// Channels to whose queue something came back up to here, nobody says where.
    pub(super) fn queued_again(&self) -> impl Iterator<Item = ChannelId> {
        self.queued_again.iter().copied()
    }

    /// By how much this transaction changes a count.
    pub(super) fn change(&self, channel: ChannelId, state: State) -> i64 {
        self.changes.get(&(channel, state)).copied().unwrap_or(0)
    }

    /// The count as this transaction sees it.
    pub(super) fn count(&self, tally: &Tally, channel: ChannelId, state: State) -> i64 {
        tally.count(channel, state) + self.change(channel, state)
    }

    /// The changes as rows of `save_tally.sql`.
    pub(super) fn rows(&self) -> Vec<(i64, i64, i64)> {
        self.changes
            .iter()
            .filter(|(_, change)| **change != 0)
            .map(|((channel, state), change)| (channel.0, state.code(), *change))
            .collect()
    }
}
