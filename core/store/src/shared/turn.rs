//! A turn of the queue: outcomes, and the claims that they make room for. That is what an engine does most, and where nothing
//! else goes with it, it is one round trip to a server and a transaction by itself.
//!
//! It takes what can be chosen without a look at the rest of the queue. What it leaves, because a permit is missing or
//! something was kept, is claimed right behind it, in a transaction that goes step by step (`tick.rs`).

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;
use std::time::Instant;

use tidings_model::credential::usable_if_ends_after;
use tidings_model::limits::DATA_BYTES_MAX;
use tidings_model::{CredentialFate, CredentialId, State, Timestamp};

use super::claim::HeadRow;
use super::due::earliest;
use super::floor::Place;
use super::settle::{attempt, fate_code, leaves_attempt, settle_row};
use super::tally::Moves;
use super::tick::length;
use super::writer::{Home, Writer};
use crate::batch::{Batch, Bound, ChannelId, ClaimRequest, Claimed, Committed, Settle};
use crate::error::StoreError;
use crate::sql::{ROWS_MAX, RowsStatement, json};

static TURN: LazyLock<RowsStatement> =
    LazyLock::new(|| RowsStatement::of_postgres(include_str!("../../sql/postgres/turn.sql")));

/// What all channels together may claim in a turn: its answer is one row, and no value of PostgreSQL's is longer than a
/// gigabyte.
const CLAIMS_MAX: usize = (1 << 28) / DATA_BYTES_MAX;

const ACTION: &str = "write outcomes and claim messages";

/// What a turn asks of a channel.
#[derive(Debug)]
pub(super) struct Ask<'b> {
    request: &'b ClaimRequest,
    /// On their way at most, of all engines.
    in_flight_max: u32,
    /// As many are queued as far as is known, if they are to be looked for from the front where fewer are found.
    queued: i64,
    /// Behind which places it goes on, by priority.
    places: Vec<(i64, Place)>,
}

/// A message that was claimed: its place in its queue, and what is handed out.
struct Taken {
    priority: i64,
    place: Place,
    claimed: Claimed,
}

/// What a turn did.
struct Turned {
    /// When the first that is to be tried again is due, or runs out of time.
    ahead: Option<Timestamp>,
    /// How many each channel had room for, of those that are open.
    rooms: HashMap<ChannelId, i64>,
    /// What was claimed, in the order of the queues.
    taken: HashMap<ChannelId, Vec<Taken>>,
    /// The first place of each queue that was looked at and left.
    passed: HashMap<(ChannelId, i64), Place>,
}

/// A channel, a priority, and a place among the messages of both, as PostgreSQL has them.
type PassedRow = (i64, i64, i64, i64);

/// A message and its credential: id, source, value, when it ends, when it was taken in.
type BoundRow = (i64, i64, String, String, Option<i64>, i64);

/// A channel, at most so many, at most so many of all engines, how many are queued, the places by priority, the app, the
/// sources and when a credential of each has to end at the earliest, and the scopes of the templates.
type AskRow<'b> =
    (i64, u32, u32, i64, Vec<(i64, i64, i64)>, Option<&'b str>, HashMap<&'b str, i64>, HashMap<i64, &'b str>);

impl Writer {
    /// What is to be asked if the batch is no more than a turn, and nobody has to be woken or looked for with it.
    ///
    /// Through a pooler none is: what a session has planned inside a function is not planned anew there.
    pub(super) fn asks<'b>(&self, batch: &'b Batch) -> Option<Vec<Ask<'b>>> {
        let Home::Server(server) = &self.home else { return None };
        let is_quiet = batch.spare || self.quiet_until.is_none_or(|at| at > batch.now);
        let nobody_waits = self.unwoken.is_empty() && self.early.is_empty() && !self.suppresses;
        if !(server.access.is_direct() && is_quiet && nobody_waits && is_turn(batch)) {
            return None;
        }
        let now = Instant::now();
        let may_claim = |request: &&ClaimRequest| request.limit > 0 && self.queued(request.channel) > 0;
        let asks = batch.claims.iter().filter(may_claim).map(|request| self.ask(request, now));
        let asks: Vec<Ask<'b>> = asks.collect::<Option<_>>()?;
        let claims: usize = asks.iter().map(|ask| ask.request.limit as usize).sum();
        if claims > CLAIMS_MAX {
            return None;
        }
        (!asks.is_empty() || !batch.settles.is_empty()).then_some(asks)
    }

    /// `None` if the channel's rate or the front of its queue is to be looked at first.
    fn ask<'b>(&self, request: &'b ClaimRequest, now: Instant) -> Option<Ask<'b>> {
        let places = self.floors.of(request.channel, now).filter(|places| !places.is_empty())?;
        if request.rate.is_some() {
            return None;
        }
        let may_look = self.floors.may_begin_at_front(request.channel, now);
        let queued = if may_look { self.queued(request.channel) } else { 0 };
        Some(Ask { request, in_flight_max: request.in_flight_max?, queued, places })
    }

    /// Does it, and answers with what is left to be done step by step. When this returns `Ok`, what it says is on disk.
    ///
    /// # Errors
    ///
    /// A contention if nothing was done, because an outcome came too late, somebody is to be woken, a permit may be due to
    /// somebody before, the lease is over, or another engine was quicker.
    pub(super) async fn turn(
        &mut self,
        batch: &Batch,
        asks: &[Ask<'_>],
    ) -> Result<(Committed, Option<Batch>), StoreError> {
        self.claim += 1;
        let mut moves = Moves::default();
        for settle in &batch.settles {
            moves.go(settle.channel, State::Sending, settle.settlement.to);
        }
        let mut turned = self.ask_for_turn(batch, asks, &moves).await?;
        let mut committed = Committed { settled: vec![true; batch.settles.len()], ..Committed::default() };
        let mut claims = Vec::new();
        for request in &batch.claims {
            let channel = request.channel;
            let taken = turned.taken.remove(&channel).unwrap_or_default();
            if self.has_left(channel, taken.len(), &turned) {
                let limit = request.limit.saturating_sub(u32::try_from(taken.len()).unwrap_or(u32::MAX));
                claims.push(ClaimRequest { limit, ..request.clone() });
            }
            moves.go_many(channel, State::Queued, State::Sending, length(taken.len()));
            for Taken { priority, place, claimed } in taken {
                // Not behind what is still there.
                if turned.passed.get(&(channel, priority)).is_none_or(|first| place < *first) {
                    self.floors.raise(channel, priority, place);
                }
                committed.claimed.push(claimed);
            }
        }
        self.tally.apply(moves);
        self.quiet_until = earliest(self.quiet_until, turned.ahead);
        committed.next_due = self.quiet_until;
        committed.more = !claims.is_empty();
        let rest = Batch { now: batch.now, claims, spare: batch.spare, ..Batch::default() };
        let rest = committed.more.then_some(rest);
        Ok((committed, rest))
    }

    /// Whether a channel has more than was taken, which a turn does not do or does not find.
    fn has_left(&self, channel: ChannelId, taken: usize, turned: &Turned) -> bool {
        let wanted = turned.rooms.get(&channel).copied().unwrap_or_default().min(self.queued(channel));
        turned.passed.keys().any(|(of, _)| *of == channel)
            || length(taken) < wanted && self.floors.may_begin_at_front(channel, Instant::now())
    }

    async fn ask_for_turn(&mut self, batch: &Batch, asks: &[Ask<'_>], moves: &Moves) -> Result<Turned, StoreError> {
        let Home::Server(server) = &self.home else { unreachable!("a file has no turns") };
        let mut query = TURN.query(batch.settles.len());
        for settle in &batch.settles {
            query = settle_row(query, settle, batch.now)
                .bind(fate_code(settle.settlement.credential))
                .bind(settle.started_at.0)
                .bind(settle.ended_at.0)
                .bind(leaves_attempt(settle).then_some(settle.outcome));
        }
        let asks: Vec<AskRow<'_>> = asks.iter().map(|ask| ask.row(batch.now)).collect();
        let query = query.bind_postgres(json(&moves.rows())).bind_postgres(json(&asks)).bind_postgres(batch.now.0);
        let query = query.bind_postgres(server.membership.node()).bind_postgres(self.claim);
        let row = query.fetch_one(&mut self.connection).await.map_err(StoreError::during(ACTION))?;
        let rooms: Vec<(i64, i64)> = row.json(1, ACTION)?;
        let passed: Vec<PassedRow> = row.json(4, ACTION)?;
        Ok(Turned {
            ahead: row.get::<Option<i64>>(0).map(Timestamp),
            rooms: rooms.into_iter().map(|(channel, room)| (ChannelId(channel), room)).collect(),
            taken: taken(row.json(2, ACTION)?, row.json(3, ACTION)?)?,
            passed: passed.into_iter().map(|(of, priority, at, id)| ((ChannelId(of), priority), (at, id))).collect(),
        })
    }

    fn queued(&self, channel: ChannelId) -> i64 {
        self.tally.count(channel, State::Queued)
    }
}

impl<'b> Ask<'b> {
    fn row(&self, now: Timestamp) -> AskRow<'b> {
        let ClaimRequest { channel, limit, needs, .. } = self.request;
        let places = self.places.iter().map(|(priority, (due_at, id))| (*priority, *due_at, *id)).collect();
        let (mut app, mut sources, mut scopes) = (None, HashMap::new(), HashMap::new());
        if let Some(needs) = needs {
            let ends_after = |margin| usable_if_ends_after(margin, now).0;
            app = Some(needs.app.as_str());
            sources = needs.sources.iter().map(|rule| (rule.source.as_str(), ends_after(rule.margin))).collect();
            scopes = needs.scopes.iter().map(|(template, scope)| (template.0, scope.as_str())).collect();
        }
        (channel.0, *limit, self.in_flight_max, self.queued, places, app, sources, scopes)
    }
}

impl Committed {
    /// With what a transaction right behind it claimed, by channel as they were asked for.
    pub(super) fn and_then(mut self, mut rest: Committed, asked: &[ClaimRequest]) -> Committed {
        self.claimed.append(&mut rest.claimed);
        self.claimed.sort_by_key(|claimed| asked.iter().position(|request| request.channel == claimed.channel));
        Committed { settled: self.settled, claimed: self.claimed, ..rest }
    }
}

/// What was claimed of each channel, in the order of its queue, with what was bound to it.
fn taken(
    rows: Vec<(i64, Vec<HeadRow>)>,
    bound: Vec<Vec<BoundRow>>,
) -> Result<HashMap<ChannelId, Vec<Taken>>, StoreError> {
    let mut credentials: HashMap<i64, Bound> = HashMap::new();
    for (message, id, source, value, expires_at, taken_at) in bound.into_iter().flatten() {
        let (credential, expires_at) = (CredentialId(id), expires_at.map(Timestamp));
        credentials.insert(message, Bound { credential, source, value, expires_at, taken_at: Timestamp(taken_at) });
    }
    let mut taken: HashMap<ChannelId, Vec<Taken>> = HashMap::new();
    for (channel, rows) in rows {
        let channel = ChannelId(channel);
        for row in rows {
            let (priority, place) = (row.priority, (row.due_at, row.id));
            let mut claimed = row.into_head(channel)?.claimed;
            claimed.credential = credentials.remove(&claimed.message.0);
            taken.entry(channel).or_default().push(Taken { priority, place, claimed });
        }
    }
    for queue in taken.values_mut() {
        queue.sort_unstable_by_key(|taken| (Reverse(taken.priority), taken.place));
    }
    Ok(taken)
}

/// Whether there is nothing in it but outcomes that end something, and claims.
fn is_turn(batch: &Batch) -> bool {
    let Batch {
        now,
        settles,
        operations,
        records,
        suppressions,
        messages,
        credentials,
        withdrawals,
        receipts,
        tokens,
        lanes,
        apps,
        keys,
        firings,
        schedules,
        runs,
        steps,
        notices,
        resumed,
        signposts,
        claims: _,
        wake_all,
        sweeps,
        set_back,
        spare: _,
    } = batch;
    let is_alone = operations.is_empty()
        && records.is_empty()
        && suppressions.is_empty()
        && messages.is_empty()
        && credentials.is_empty()
        && withdrawals.is_empty()
        && receipts.is_empty()
        && tokens.is_empty()
        && lanes.is_empty()
        && apps.is_empty()
        && keys.is_empty()
        && firings.is_empty()
        && schedules.is_empty()
        && runs.is_empty()
        && steps.is_empty()
        && notices.is_empty()
        && resumed.is_empty()
        && signposts.is_empty()
        && !wake_all
        && sweeps.is_empty()
        && set_back.is_none();
    let mut attempts = HashSet::with_capacity(settles.len());
    let is_plain = |settle: &Settle| ends_something(settle, *now) && attempts.insert(attempt(settle));
    is_alone && settles.len() <= ROWS_MAX && settles.iter().all(is_plain)
}

/// Whether nothing can be claimed at once because of it, and nothing else hangs on it: permits that are dropped beside its own
/// are found by what is still bound.
fn ends_something(settle: &Settle, now: Timestamp) -> bool {
    let settlement = &settle.settlement;
    let is_over = match settlement.to {
        State::Scheduled => settlement.due_at.is_some_and(|at| at > now),
        state => state.is_terminal(),
    };
    is_over && !matches!(settlement.credential, CredentialFate::GiveBack | CredentialFate::DropAll)
}
