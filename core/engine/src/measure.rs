//! What the engine counts while it works, for whoever watches over it.
//!
//! Only what cannot be looked up when somebody asks: depths, tokens, stock are read then. Every label comes from config or
//! from a fixed set of words, so that there are never more series than channels times words.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tidings_model::{Event, State};
use tidings_store::{Accepted, Batch, ChannelId, Committed, Moved};

/// How long a transaction may take, or work may wait for one, before the writer is called stuck.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// Upper bounds of buckets, in seconds, ascending.
pub type Bounds = &'static [f64];

/// Of a transaction: a sync takes a tenth of a millisecond on a good disk, and seconds on one in trouble.
pub const COMMIT_BOUNDS: Bounds = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
/// Of an attempt, and of a request to our API.
pub const CALL_BOUNDS: Bounds = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Of how late a schedule fires.
pub const LATE_BOUNDS: Bounds = &[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 60.0, 600.0, 3600.0];

/// How many take messages in beside the writer, where the store has several ways in: while one waits for its server's disk, another
/// has a processor of the server's, and a third one here.
pub(crate) const INTAKES: usize = 3;

/// Whose transaction it is: the writer's, or that of an intake. Each has one under way at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seat(usize);

impl Seat {
    pub(crate) const WRITER: Seat = Seat(0);

    /// Those of the intakes.
    pub(crate) fn of_intakes() -> impl Iterator<Item = Seat> {
        (1..=INTAKES).map(Seat)
    }
}

/// How often something took how long.
#[derive(Debug)]
pub struct Histogram {
    bounds: Bounds,
    /// One more than there are bounds: what is above the last.
    buckets: Vec<AtomicU64>,
    sum_us: AtomicU64,
}

/// A histogram at one instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    /// Upper bounds in seconds, ascending.
    pub bounds: Bounds,
    /// How many in each bucket, and above the last bound.
    pub counts: Vec<u64>,
    /// All of them together, in seconds.
    pub sum: f64,
}

impl Histogram {
    fn new(bounds: Bounds) -> Histogram {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram { bounds, buckets, sum_us: AtomicU64::new(0) }
    }

    fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let place = self.bounds.partition_point(|bound| *bound < seconds);
        self.buckets[place].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn look(&self) -> Distribution {
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let sum = Duration::from_micros(self.sum_us.load(Ordering::Relaxed)).as_secs_f64();
        Distribution { bounds: self.bounds, counts, sum }
    }
}

/// What became of messages of one channel since the start.
#[derive(Debug)]
struct OfChannel {
    accepted: u64,
    attempts: BTreeMap<&'static str, u64>,
    /// Where outcomes and receipts brought messages to, and why; and what ended without either.
    moved: BTreeMap<(State, &'static str), u64>,
    took: Histogram,
}

impl Default for OfChannel {
    fn default() -> OfChannel {
        OfChannel { accepted: 0, attempts: BTreeMap::new(), moved: BTreeMap::new(), took: Histogram::new(CALL_BOUNDS) }
    }
}

/// The same at one instant.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelMeasures {
    /// The channel.
    pub channel: ChannelId,
    /// Messages accepted, repeats not counted.
    pub accepted: u64,
    /// Attempts by their outcome's name.
    pub attempts: Vec<(&'static str, u64)>,
    /// Moves after an attempt, by a receipt, by time: to which state, for which reason, how many.
    pub moved: Vec<(State, &'static str, u64)>,
    /// How long attempts took.
    pub took: Distribution,
}

/// Requests of one route.
#[derive(Debug)]
struct OfRoute {
    by_status: BTreeMap<u16, u64>,
    took: Histogram,
}

/// The same at one instant.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteMeasures {
    /// The method, as in `GET`; one of those the route table has, or `other`.
    pub method: &'static str,
    /// The path as it stands in the table of calls: `/v1/messages/{id}`.
    pub route: &'static str,
    /// How many requests had which status.
    pub by_status: Vec<(u16, u64)>,
    /// How long they took.
    pub took: Distribution,
}

/// How the writer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriterHealth {
    /// It writes, or has nothing to write.
    Well,
    /// So many transactions in a row have failed.
    Failing(u64),
    /// A transaction has been under way for so long.
    Stuck(Duration),
}

/// Everything that is counted. One for the engine's life.
#[derive(Debug)]
pub struct Measures {
    since: Instant,
    channels: Mutex<BTreeMap<ChannelId, OfChannel>>,
    routes: Mutex<BTreeMap<(&'static str, &'static str), OfRoute>>,
    commit: Histogram,
    lateness: Histogram,
    commits_failed: AtomicU64,
    /// Of the writer's. An intake whose transaction failed has the writer asked instead, which speaks for it.
    failed_in_a_row: AtomicU64,
    /// When the transaction under way at each seat began, in milliseconds since the start, and one more; 0 if none is.
    commit_began: [AtomicU64; 1 + INTAKES],
    credentials_taken: AtomicU64,
}

impl Default for Measures {
    fn default() -> Measures {
        Measures {
            since: Instant::now(),
            channels: Mutex::default(),
            routes: Mutex::default(),
            commit: Histogram::new(COMMIT_BOUNDS),
            lateness: Histogram::new(LATE_BOUNDS),
            commits_failed: AtomicU64::new(0),
            failed_in_a_row: AtomicU64::new(0),
            commit_began: Default::default(),
            credentials_taken: AtomicU64::new(0),
        }
    }
}

impl Measures {
    /// A transaction begins.
    pub(crate) fn commit_begins(&self, seat: Seat) {
        self.commit_began[seat.0].store(self.elapsed_ms() + 1, Ordering::Relaxed);
    }

    /// It is on disk.
    pub(crate) fn committed(&self, seat: Seat, batch: &Batch, committed: &Committed, took: Duration) {
        self.commit_began[seat.0].store(0, Ordering::Relaxed);
        if seat == Seat::WRITER {
            self.failed_in_a_row.store(0, Ordering::Relaxed);
        }
        self.commit.observe(took);
        let taken = committed.credentials.iter().filter(|it| matches!(it, tidings_store::CredentialIntake::New(_)));
        self.credentials_taken.fetch_add(taken.count() as u64, Ordering::Relaxed);
        if batch.settles.is_empty() && batch.messages.is_empty() && committed.moved.is_empty() {
            return;
        }
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        for (settle, applied) in batch.settles.iter().zip(&committed.settled) {
            let of = channels.entry(settle.channel).or_default();
            *of.attempts.entry(settle.outcome).or_default() += 1;
            of.took.observe(settle.ended_at.since(settle.started_at));
            if *applied {
                let reason = settle.settlement.reason.unwrap_or("none");
                *of.moved.entry((settle.settlement.to, reason)).or_default() += 1;
            }
        }
        // What an operator does is in his record; what time, receipts and suppressions do is in none.
        for moved in committed.moved.iter().filter(|moved| is_an_outcome(moved)) {
            let reason = moved.reason.unwrap_or("none");
            *channels.entry(moved.channel).or_default().moved.entry((moved.to, reason)).or_default() += 1;
        }
        for (message, accepted) in batch.messages.iter().zip(&committed.accepted) {
            if matches!(accepted, Accepted::New(_)) {
                channels.entry(message.channel).or_default().accepted += 1;
            }
        }
    }

    /// It is not.
    pub(crate) fn commit_failed(&self, seat: Seat) {
        self.commit_began[seat.0].store(0, Ordering::Relaxed);
        self.commits_failed.fetch_add(1, Ordering::Relaxed);
        if seat == Seat::WRITER {
            self.failed_in_a_row.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A schedule fired so long after its nominal time.
    pub(crate) fn fired(&self, late: Duration) {
        self.lateness.observe(late);
    }

    /// A request to our API was answered. Method and route are those of the table of calls.
    pub fn answered(&self, method: &'static str, route: &'static str, status: u16, took: Duration) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || OfRoute { by_status: BTreeMap::new(), took: Histogram::new(CALL_BOUNDS) };
        let of = routes.entry((method, route)).or_insert_with(new);
        *of.by_status.entry(status).or_default() += 1;
        of.took.observe(took);
    }

    /// What became of messages, by channel.
    pub fn channels(&self) -> Vec<ChannelMeasures> {
        let channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let look = |(channel, of): (&ChannelId, &OfChannel)| ChannelMeasures {
            channel: *channel,
            accepted: of.accepted,
            attempts: of.attempts.iter().map(|(outcome, count)| (*outcome, *count)).collect(),
            moved: of.moved.iter().map(|((state, reason), count)| (*state, *reason, *count)).collect(),
            took: of.took.look(),
        };
        channels.iter().map(look).collect()
    }

    /// Requests by route.
    pub fn routes(&self) -> Vec<RouteMeasures> {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let look = |((method, route), of): (&(&'static str, &'static str), &OfRoute)| RouteMeasures {
            method,
            route,
            by_status: of.by_status.iter().map(|(status, count)| (*status, *count)).collect(),
            took: of.took.look(),
        };
        routes.iter().map(look).collect()
    }

    /// How long transactions took.
    pub fn commits(&self) -> Distribution {
        self.commit.look()
    }

    /// Transactions that failed.
    pub fn commits_failed(&self) -> u64 {
        self.commits_failed.load(Ordering::Relaxed)
    }

    /// How late schedules fired.
    pub fn lateness(&self) -> Distribution {
        self.lateness.look()
    }

    /// Credentials taken into the ledger, repeats not counted.
    pub fn credentials_taken(&self) -> u64 {
        self.credentials_taken.load(Ordering::Relaxed)
    }

    /// How the writer is; stuck is who takes messages in beside it, too.
    pub fn writer(&self) -> WriterHealth {
        let began =
            self.commit_began.iter().map(|began| began.load(Ordering::Relaxed)).filter(|began| *began > 0).min();
        let failed = self.failed_in_a_row.load(Ordering::Relaxed);
        writer_health(began.map(|began| self.elapsed_ms().saturating_sub(began - 1)), failed)
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Whether that move ended a message, and nobody did it by hand.
fn is_an_outcome(moved: &Moved) -> bool {
    match moved.event {
        Event::Deliver | Event::Bounce | Event::Expire => true,
        Event::Cancel => moved.reason == Some("suppressed"),
        _ => false,
    }
}

/// `under_way_ms` is for how long the present transaction has been, if there is one.
fn writer_health(under_way_ms: Option<u64>, failed_in_a_row: u64) -> WriterHealth {
    match under_way_ms.map(Duration::from_millis) {
        Some(since) if since >= STUCK_AFTER => WriterHealth::Stuck(since),
        _ if failed_in_a_row > 0 => WriterHealth::Failing(failed_in_a_row),
        _ => WriterHealth::Well,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_model::MessageId;
    use tidings_store::TemplateId;

    #[test]
    fn what_takes_as_long_as_a_bound_is_within_it() {
        let histogram = Histogram::new(&[0.001, 0.01]);
        for us in [999, 1000, 1001, 10_000, 10_001] {
            histogram.observe(Duration::from_micros(us));
        }
        let seen = histogram.look();
        assert_eq!(seen.counts, [2, 2, 1]);
        assert!((seen.sum - 0.023_001).abs() < 1e-9, "{seen:?}");
    }

    #[test]
    fn a_writer_is_stuck_in_a_transaction_and_not_between_two() {
        assert_eq!(writer_health(None, 0), WriterHealth::Well);
        assert_eq!(writer_health(Some(9_999), 0), WriterHealth::Well);
        assert_eq!(writer_health(Some(10_000), 0), WriterHealth::Stuck(STUCK_AFTER));
        assert_eq!(writer_health(None, 3), WriterHealth::Failing(3));
        let measures = Measures::default();
        measures.commit_failed(Seat::WRITER);
        assert_eq!(measures.writer(), WriterHealth::Failing(1));
        measures.committed(Seat::WRITER, &Batch::default(), &Committed::default(), Duration::ZERO);
        assert_eq!(measures.writer(), WriterHealth::Well);
    }

    #[test]
    fn whether_the_writer_fails_is_not_for_those_beside_it_to_say() {
        let measures = Measures::default();
        let done = |seat| measures.committed(seat, &Batch::default(), &Committed::default(), Duration::ZERO);
        for intake in Seat::of_intakes() {
            (0..3).for_each(|_| measures.commit_failed(Seat::WRITER));
            done(intake);
            assert_eq!(measures.writer(), WriterHealth::Failing(3), "{intake:?} can write, and the writer cannot");
            measures.commit_failed(intake);
            done(Seat::WRITER);
            assert_eq!(measures.writer(), WriterHealth::Well, "what {intake:?} cannot do the writer does");
        }
        assert_eq!(measures.commits_failed(), 4 * INTAKES as u64);
    }

    #[test]
    fn receipts_and_time_move_messages_and_operators_are_in_their_own_record() {
        let channel = ChannelId(7);
        let moved = |event, to, reason| Moved {
            message: MessageId(1),
            channel,
            template: TemplateId(1),
            recipient: String::new(),
            event,
            to,
            reason,
            detail: String::new(),
        };
        let measures = Measures::default();
        let committed = Committed {
            moved: vec![
                moved(Event::Deliver, State::Delivered, None),
                moved(Event::Bounce, State::Failed, Some("bounced")),
                moved(Event::Expire, State::Expired, Some("expired")),
                moved(Event::Cancel, State::Cancelled, Some("suppressed")),
                moved(Event::Cancel, State::Cancelled, Some("cancelled")),
                moved(Event::Retry, State::Queued, None),
            ],
            ..Committed::default()
        };
        measures.committed(Seat::WRITER, &Batch::default(), &committed, Duration::ZERO);
        let expected = [
            (State::Delivered, "none", 1),
            (State::Failed, "bounced", 1),
            (State::Expired, "expired", 1),
            (State::Cancelled, "suppressed", 1),
        ];
        let seen = &measures.channels()[0].moved;
        assert_eq!(seen.len(), expected.len(), "{seen:?}");
        assert!(expected.iter().all(|one| seen.contains(one)), "{seen:?}");
    }

    #[test]
    fn requests_are_counted_by_route_and_status() {
        let measures = Measures::default();
        measures.answered("GET", "/v1/messages/{id}", 200, Duration::ZERO);
        measures.answered("GET", "/v1/messages/{id}", 404, Duration::ZERO);
        measures.answered("GET", "/v1/messages/{id}", 200, Duration::ZERO);
        assert_eq!(measures.routes()[0].by_status, [(200, 2), (404, 1)]);
    }
}
