//! The store against what must hold after every commit, over random histories: accepts, credentials, claims, outcomes
//! in time, late and twice, acts of operators, a clock that jumps both ways, and crashes.
//!
//! What follows from an outcome is decided by the same pure functions that the engine uses.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use proptest::prelude::*;
use tidings_model::limits::IDEMPOTENCY_LIFE;
use tidings_model::retry::{Backoff, Random};
use tidings_model::settle::{rescue, settle};
use tidings_model::state::{TABLE, next};
use tidings_model::{
    Attempt, CredentialFacts, CredentialFate, CredentialId, CredentialKind, Event, MessageId, OnUnknown, Outcome,
    Policy, Settlement, State, Timestamp,
};
use tidings_store::{
    Accepted, Batch, ChannelId, Claimed, Committed, CredentialIntake, CredentialRow, Intake, MessageFilter, MessageRow,
    NewCredential, NewMessage, Operated, Settle, Sweep,
};

#[path = "contract/harness.rs"]
#[expect(dead_code, reason = "the contract uses more of it")]
mod harness;

use harness::{BOUND, FORM_ID, FREE, GRANT, Home, PREPAY, SISTER, Store, act, grant, key, permit, prepay};

const CHANNELS: [&str; 3] = [FREE, BOUND, SISTER];
const NAMES: [&str; 2] = ["ann", "ben"];
const ACTS: [Event; 5] = [Event::Cancel, Event::Retry, Event::RetryLater, Event::Hold, Event::Release];
/// What happens to a message without anybody asking for this one.
const BY_ITSELF: [Event; 5] = [Event::Due, Event::NoCredential, Event::CredentialArrived, Event::Claim, Event::Expire];

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<Part>),
    /// Milliseconds, either way.
    Clock(i64),
    /// The writer is dropped; what it left is settled with the first commit of the next.
    Crash,
}

#[derive(Debug, Clone)]
enum Part {
    Accept {
        channel: usize,
        who: usize,
        key: Option<u8>,
        hash: i64,
        wait: Option<i64>,
        life: Option<i64>,
        priority: i8,
    },
    Post {
        kind: usize,
        who: usize,
        value: u8,
        life: Option<i64>,
    },
    /// An outcome of one of the attempts under way.
    Outcome {
        pick: usize,
        outcome: Outcome,
        random: u64,
        on_unknown: OnUnknown,
    },
    /// An outcome of any attempt there ever was.
    Late {
        pick: usize,
        outcome: Outcome,
    },
    Act {
        pick: usize,
        event: usize,
    },
    Claim {
        channel: usize,
        limit: u32,
    },
    Purge,
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    let detail = || "said so".to_owned();
    prop_oneof![
        3 => Just(Outcome::Accepted { provider_id: Some("p".to_owned()) }),
        3 => Just(Outcome::Unknown { detail: detail() }),
        2 => Just(Outcome::Retry { after: None, detail: detail() }),
        1 => Just(Outcome::Duplicate { detail: detail() }),
        1 => Just(Outcome::Rejected { reason: detail() }),
        2 => Just(Outcome::CredentialSpent { detail: detail() }),
        2 => Just(Outcome::CredentialInvalid { detail: detail() }),
        1 => Just(Outcome::RecipientGone { detail: detail() }),
        1 => Just(Outcome::TokenRejected { detail: detail() }),
        1 => Just(Outcome::Throttled { retry_after: None, detail: detail() }),
        1 => Just(Outcome::QuotaExhausted { until: None, detail: detail() }),
        1 => Just(Outcome::TemplateBroken { detail: detail() }),
        1 => Just(Outcome::Halt { reason: detail() }),
    ]
}

fn parts() -> impl Strategy<Value = Part> {
    let ms = || proptest::option::of(-1_000_i64..20_000);
    prop_oneof![
        4 => (0..3_usize, 0..2_usize, proptest::option::weighted(0.3, 0..4_u8), 0..2_i64, ms(), ms(), -1..2_i8).prop_map(
            |(channel, who, key, hash, wait, life, priority)| Part::Accept { channel, who, key, hash, wait, life, priority }
        ),
        3 => (0..3_usize, 0..2_usize, 0..8_u8, ms())
            .prop_map(|(kind, who, value, life)| Part::Post { kind, who, value, life }),
        5 => (0..99_usize, outcomes(), any::<u64>(), any::<bool>()).prop_map(|(pick, outcome, random, retry)| {
            let on_unknown = if retry { OnUnknown::Retry } else { OnUnknown::Stop };
            Part::Outcome { pick, outcome, random, on_unknown }
        }),
        2 => (0..99_usize, outcomes()).prop_map(|(pick, outcome)| Part::Late { pick, outcome }),
        3 => (0..99_usize, 0..5_usize).prop_map(|(pick, event)| Part::Act { pick, event }),
        5 => (0..3_usize, 0..4_u32).prop_map(|(channel, limit)| Part::Claim { channel, limit }),
        1 => Just(Part::Purge),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let far = i64::try_from(IDEMPOTENCY_LIFE.as_millis()).expect("days");
    let step = prop_oneof![
        16 => proptest::collection::vec(parts(), 1..7).prop_map(Step::Commit),
        4 => (-5_000_i64..15_000).prop_map(Step::Clock),
        1 => prop_oneof![Just(far), Just(far * 11), Just(-far)].prop_map(Step::Clock),
        2 => Just(Step::Crash),
    ];
    proptest::collection::vec(step, 1..45)
}

fn kind_of(source: &str) -> CredentialKind {
    CredentialKind {
        life: None,
        uses: if source == PREPAY { 3 } else { 1 },
        proves_use: source == FORM_ID,
        counted_by_provider: source == GRANT,
        ripens_in: if source == PREPAY { Duration::from_secs(5) } else { Duration::ZERO },
        scoped: source == GRANT,
    }
}

fn policy(on_unknown: OnUnknown) -> Policy {
    let backoff = Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(9) };
    Policy { attempts_max: 4, backoff, on_unknown }
}

/// What the test knows beside the store.
struct World {
    store: Store,
    /// Another way in, where there is one.
    intake: Option<Intake>,
    /// The latest that the clock ever said.
    latest: Timestamp,
    rows: BTreeMap<MessageId, MessageRow>,
    ledger: BTreeMap<CredentialId, CredentialRow>,
    /// Attempts under way.
    sending: BTreeMap<MessageId, Claimed>,
    /// Every attempt there ever was.
    attempts: Vec<Claimed>,
    generations: HashMap<MessageId, i64>,
    keys: HashMap<u8, (MessageId, i64, Timestamp)>,
    /// Source and identity of everything in the ledger that has one.
    identities: HashMap<CredentialId, (usize, u8)>,
    uses: HashMap<CredentialId, usize>,
    /// For which messages a credential went out in an attempt that may have arrived.
    touched: HashMap<CredentialId, BTreeSet<MessageId>>,
    /// Which message in doubt keeps which credential.
    doubt: HashMap<MessageId, CredentialId>,
}

/// What goes into a batch, and what must come of it as far as that is known before.
#[derive(Default)]
struct Plan {
    batch: Batch,
    accepts: Vec<(Option<u8>, i64)>,
    posts: Vec<(usize, u8)>,
    /// The fate that each settle asks for, and whether it will be applied.
    fates: Vec<(CredentialFate, bool)>,
}

impl World {
    async fn new(home: Home) -> World {
        let store = Store::new(home).await;
        World {
            latest: store.now,
            intake: store.writer.intake(),
            store,
            rows: BTreeMap::new(),
            ledger: BTreeMap::new(),
            sending: BTreeMap::new(),
            attempts: Vec::new(),
            generations: HashMap::new(),
            keys: HashMap::new(),
            identities: HashMap::new(),
            uses: HashMap::new(),
            touched: HashMap::new(),
            doubt: HashMap::new(),
        }
    }

    fn at(&self, ms: i64) -> Timestamp {
        Timestamp(self.store.now.0 + ms)
    }

    fn plan(&self, parts: Vec<Part>) -> Plan {
        let mut plan = Plan::default();
        let mut settled = HashSet::new();
        for part in parts {
            match part {
                Part::Accept { channel, who, key: k, hash, wait, life, priority } => {
                    plan.accepts.push((k, hash));
                    plan.batch.messages.push(NewMessage {
                        key: k.and_then(|k| key(&k.to_string())),
                        body_hash: hash,
                        send_at: wait.map(|ms| self.at(ms)),
                        expires_at: life.map(|ms| self.at(ms)),
                        priority,
                        ..self.store.message(CHANNELS[channel], NAMES[who])
                    });
                }
                Part::Post { kind, who, value, life } => {
                    let make: [fn(&str, &str) -> NewCredential; 3] = [permit, prepay, |who, _| grant(who)];
                    let credential = make[kind](NAMES[who], &value.to_string());
                    plan.posts.push((kind, value));
                    plan.batch.credentials.push(NewCredential { expires_at: life.map(|ms| self.at(ms)), ..credential });
                }
                Part::Outcome { pick, outcome, random, on_unknown } => {
                    if let Some(claimed) = self.sending.values().nth(pick % self.sending.len().max(1)) {
                        let applied = settled.insert(claimed.message);
                        self.settle(&mut plan, claimed, &outcome, applied, Random(random), on_unknown);
                    }
                }
                Part::Late { pick, outcome } => {
                    if let Some(claimed) = self.attempts.get(pick % self.attempts.len().max(1)) {
                        let current = self.sending.get(&claimed.message);
                        let in_time = current.is_some_and(|current| current.generation == claimed.generation);
                        let applied = in_time && settled.insert(claimed.message);
                        self.settle(&mut plan, claimed, &outcome, applied, Random(0), OnUnknown::Stop);
                    }
                }
                Part::Act { pick, event } => {
                    // One beyond the last: a message that is not there.
                    let id = self.rows.keys().nth(pick % (self.rows.len() + 1)).copied().unwrap_or(MessageId(9_999));
                    plan.batch.operations.push(act(ACTS[event], id));
                }
                Part::Claim { channel, limit } => plan.batch.claims.push(self.store.room(CHANNELS[channel], limit)),
                Part::Purge => plan.batch.sweeps = vec![Sweep::Credentials { after: 0 }],
            }
        }
        plan
    }

    fn settle(
        &self,
        plan: &mut Plan,
        claimed: &Claimed,
        outcome: &Outcome,
        applied: bool,
        random: Random,
        on_unknown: OnUnknown,
    ) {
        let credential = claimed.credential.as_ref().map(|bound| CredentialFacts {
            kind: kind_of(&bound.source),
            expires_at: bound.expires_at,
            taken_at: bound.taken_at,
        });
        let attempt = Attempt {
            number: claimed.attempts + 1,
            rescues: claimed.rescues,
            ambiguous: claimed.ambiguous,
            credential,
            dedupe_until: None,
            expires_at: claimed.expires_at,
        };
        let settlement = settle(outcome, &attempt, &policy(on_unknown), self.store.now, random);
        self.push(plan, (claimed.message, claimed.generation, claimed.channel), outcome.name(), settlement, applied);
    }

    fn push(
        &self,
        plan: &mut Plan,
        (message, generation, channel): (MessageId, i64, ChannelId),
        outcome: &'static str,
        settlement: Settlement,
        applied: bool,
    ) {
        plan.fates.push((settlement.credential, applied));
        let (started_at, ended_at) = (self.store.now, self.store.now);
        let rescued = outcome == "rescued";
        plan.batch.settles.push(Settle {
            message,
            generation,
            channel,
            started_at,
            ended_at,
            outcome,
            settlement,
            rescued,
        });
    }

    /// Drops the writer, and settles what it left.
    async fn crash(self) -> World {
        let store = self.store.crash().await;
        let mut world = World { intake: store.writer.intake(), store, ..self };
        let orphans = world.store.writer.orphans().await.expect("orphans are read");
        let found: Vec<_> = orphans.iter().map(|orphan| (orphan.message, orphan.generation)).collect();
        // Whoever takes it over from another engine raises the fence.
        let raised = i64::from(world.store.home.is_shared());
        let left: Vec<_> =
            world.sending.values().map(|claimed| (claimed.message, claimed.generation + raised)).collect();
        assert_eq!(found, left, "what was under way is what is found");
        let mut plan = Plan::default();
        for (orphan, claimed) in orphans.iter().zip(world.sending.values()) {
            let bound =
                claimed.credential.as_ref().map(|bound| (bound.source.clone(), bound.expires_at, bound.taken_at));
            assert_eq!(orphan.credential, bound);
            let credential = bound.map(|(source, expires_at, taken_at)| CredentialFacts {
                kind: kind_of(&source),
                expires_at,
                taken_at,
            });
            let attempt = Attempt {
                number: orphan.attempts + 1,
                rescues: orphan.rescues,
                // What a crash interrupts may have arrived, whatever was known before it.
                ambiguous: true,
                credential,
                dedupe_until: None,
                expires_at: orphan.expires_at,
            };
            let settlement = rescue(&attempt, &policy(OnUnknown::Retry), world.store.now, Random(0));
            world.push(&mut plan, (orphan.message, orphan.generation, orphan.channel), "rescued", settlement, true);
        }
        for channel in CHANNELS {
            plan.batch.claims.push(world.store.room(channel, 1));
        }
        world.commit(plan).await;
        world
    }

    async fn commit(&mut self, plan: Plan) {
        let Plan { mut batch, accepts, posts, fates } = plan;
        let came = self.take_in(&mut batch.messages).await;
        let settles: Vec<_> = batch.settles.iter().map(|settle| (settle.message, settle.settlement.to)).collect();
        let acts: Vec<_> = batch.operations.iter().map(|operation| (operation.message, operation.event)).collect();
        let purged = !batch.sweeps.is_empty();
        let mut committed = self.store.commit(batch).await;
        committed.accepted.splice(0..0, came);

        let expected: Vec<bool> = fates.iter().map(|fate| fate.1).collect();
        assert_eq!(committed.settled, expected, "an outcome is applied in time and once");
        let mut may: HashMap<MessageId, Vec<(State, State)>> = HashMap::new();
        let mut stand: HashMap<MessageId, State> = self.rows.iter().map(|(id, row)| (*id, row.state)).collect();
        let mut released: HashSet<MessageId> = HashSet::new();
        for ((message, to), (fate, applied)) in settles.into_iter().zip(fates) {
            if applied {
                may.entry(message).or_default().push((State::Sending, to));
                stand.insert(message, to);
                let claimed = self.sending.remove(&message).expect("it was under way");
                self.apply(&claimed, fate, &mut released);
            }
        }
        for ((message, event), operated) in acts.into_iter().zip(&committed.operated) {
            let Some(from) = stand.get_mut(&message) else {
                assert_eq!(*operated, Operated::NoSuchMessage);
                continue;
            };
            match next(*from, event) {
                Ok(to) => {
                    assert_eq!(*operated, Operated::Moved(to), "{message}: {event:?} of {from}");
                    // A credential that was given back a moment before may have woken it.
                    may.entry(message).or_default().extend([(*from, to), (State::Queued, to)]);
                    *from = to;
                }
                Err(_) => assert!(matches!(operated, Operated::Refused(_)), "{message}: {event:?} of {from}"),
            }
            if let Some(claimed) = self.sending.get(&message).filter(|_| stand[&message] != State::Sending).cloned() {
                self.sending.remove(&message);
                self.apply(&claimed, CredentialFate::Keep, &mut released);
            }
            if stand[&message] == State::Cancelled {
                released.insert(message);
            }
        }
        self.check_accepts(&accepts, &committed);
        self.check_intake(&posts, &committed);
        self.check_rows(&may, &mut released).await;
        self.check_claims(&committed, &released);
        self.check_ledger(purged, &released).await;
    }

    /// Has every second lot of messages come by the other way, where there is one: what becomes of them is the same.
    async fn take_in(&mut self, messages: &mut Vec<NewMessage>) -> Vec<Accepted> {
        match &mut self.intake {
            Some(intake) if messages.len() % 2 == 1 => {
                let messages = std::mem::take(messages);
                let accepted = intake.accept(&messages, self.store.now).await.expect("they are taken in");
                let accepted = accepted.into_iter().map(|answer| answer.expect("whose key is met is known")).collect();
                self.store.writer.hear_intakes();
                self.store.check().await;
                accepted
            }
            _ => Vec::new(),
        }
    }

    /// What an outcome makes of the credential of its attempt.
    fn apply(&mut self, claimed: &Claimed, fate: CredentialFate, released: &mut HashSet<MessageId>) {
        let Some(bound) = &claimed.credential else { return };
        if matches!(fate, CredentialFate::Keep | CredentialFate::Spend) {
            self.touched.entry(bound.credential).or_default().insert(claimed.message);
        }
        if fate == CredentialFate::Keep {
            self.doubt.insert(claimed.message, bound.credential);
        } else {
            released.insert(claimed.message);
        }
    }

    fn check_accepts(&mut self, accepts: &[(Option<u8>, i64)], committed: &Committed) {
        let now = self.store.now;
        let mut last = self.rows.keys().last().copied();
        for ((key, hash), accepted) in accepts.iter().zip(&committed.accepted) {
            // A key whose life is over comes to life again when the clock goes back, unless another took its place.
            match key.and_then(|key| self.keys.get(&key)).filter(|(.., end)| *end > now) {
                Some((id, first, _)) if first == hash => assert_eq!(*accepted, Accepted::Repeat(*id)),
                Some((id, ..)) => assert_eq!(*accepted, Accepted::KeyTaken(*id)),
                None => {
                    let Accepted::New(id) = *accepted else { panic!("{accepted:?} of a key that is free") };
                    assert!(Some(id) > last, "ids rise");
                    last = Some(id);
                    if let Some(key) = key {
                        self.keys.insert(*key, (id, *hash, now.after(IDEMPOTENCY_LIFE)));
                    }
                    self.generations.insert(id, 0);
                }
            }
        }
    }

    fn check_intake(&mut self, posts: &[(usize, u8)], committed: &Committed) {
        for ((kind, value), intake) in posts.iter().zip(&committed.credentials) {
            let known = *kind < 2 && self.identities.values().any(|identity| identity == &(*kind, *value));
            match intake {
                CredentialIntake::New(id) => {
                    assert!(!known, "a value that is in the ledger is not taken again");
                    self.uses.insert(*id, if *kind == 1 { 3 } else { 1 });
                    if *kind < 2 {
                        self.identities.insert(*id, (*kind, *value));
                    }
                }
                CredentialIntake::Repeated => assert!(known, "a new value is taken"),
            }
        }
    }

    /// Nobody is lost, and nobody moves but by the table.
    async fn check_rows(&mut self, may: &HashMap<MessageId, Vec<(State, State)>>, released: &mut HashSet<MessageId>) {
        let rows = self.store.messages(&MessageFilter::default()).await;
        let rows: BTreeMap<MessageId, MessageRow> = rows.into_iter().map(|row| (row.id, row)).collect();
        assert!(rows.keys().eq(self.generations.keys().collect::<BTreeSet<_>>()), "every message that was accepted");
        for (id, row) in &rows {
            let asked = may.get(id).map(Vec::as_slice).unwrap_or_default();
            let from: &[State] = match self.rows.get(id) {
                Some(before) => &[before.state],
                None => &[State::Scheduled, State::Queued],
            };
            assert!(leads(from, row.state, asked), "{id}: no move from {from:?} to {}", row.state);
            assert_eq!(row.finished_at.is_some(), row.state.is_terminal(), "{id}: {row:?}");
            if row.state == State::Expired {
                released.insert(*id);
            }
        }
        self.rows = rows;
    }

    fn check_claims(&mut self, committed: &Committed, released: &HashSet<MessageId>) {
        for claimed in &committed.claimed {
            let id = claimed.message;
            assert!(claimed.generation > self.generations[&id], "{id}: the generation never falls");
            self.generations.insert(id, claimed.generation);
            assert_eq!(self.rows[&id].state, State::Sending);
            assert!(claimed.expires_at.is_none_or(|end| end > self.store.now), "{id} goes in time");
            let bound = claimed.credential.as_ref().map(|bound| bound.credential);
            assert_eq!(bound.is_some(), self.rows[&id].channel != FREE);
            if let Some(kept) = self.doubt.get(&id).filter(|_| !released.contains(&id)) {
                assert_eq!(bound, Some(*kept), "{id} goes out with the credential it kept");
                assert!(claimed.ambiguous);
            } else if let Some(bound) = &claimed.credential {
                assert!(bound.expires_at.is_none_or(|end| end > self.store.now), "{id}: a credential goes in time");
            }
            for (other, kept) in &self.doubt {
                assert!(Some(*kept) != bound || *other == id || released.contains(other), "{id} has {other}'s {kept}");
            }
            assert!(self.sending.insert(id, claimed.clone()).is_none(), "{id} is claimed once");
            self.attempts.push(claimed.clone());
        }
        let sending = self.rows.values().filter(|row| row.state == State::Sending).map(|row| row.id);
        assert!(sending.eq(self.sending.keys().copied()), "what is sending is under way");
    }

    async fn check_ledger(&mut self, purged: bool, released: &HashSet<MessageId>) {
        let ledger: BTreeMap<_, _> = self.store.credentials().await.into_iter().map(|row| (row.id, row)).collect();
        for id in self.ledger.keys() {
            assert!(purged || ledger.contains_key(id), "{id} is gone");
        }
        self.identities.retain(|id, _| ledger.contains_key(id));
        self.doubt.retain(|message, kept| {
            let holder = ledger.get(kept).and_then(|row| row.bound_to);
            assert!(holder == Some(*message) || released.contains(message), "{message} lost {kept}");
            holder == Some(*message)
        });
        let mut holders = HashSet::new();
        for (id, row) in &ledger {
            let touched = self.touched.get(id).cloned().unwrap_or_default();
            let others = touched.iter().filter(|message| row.bound_to != Some(**message)).count();
            let left = usize::try_from(row.uses_left).expect("no use is taken twice");
            assert!(others + left <= self.uses[id], "{id} went out for {touched:?} and has {left} left");
            let Some(message) = row.bound_to else { continue };
            assert!(holders.insert(message), "{message} holds two");
            let holder = &self.rows[&message];
            assert_eq!((holder.recipient.as_str(), left > 0), (row.recipient.as_str(), true));
            assert!(!holder.state.is_terminal(), "{id} is stuck with {message}, which is {}", holder.state);
            match self.sending.get(&message) {
                Some(claimed) => assert_eq!(claimed.credential.as_ref().map(|bound| bound.credential), Some(*id)),
                None => assert!(holder.ambiguous, "{id} is kept for {message} without doubt"),
            }
        }
        // Nobody waits beside a credential that was good at every claim there was.
        for waiting in self.rows.values().filter(|row| row.state == State::Waiting) {
            let free = ledger.values().find(|row| {
                row.recipient == waiting.recipient
                    && row.bound_to.is_none()
                    && row.uses_left > 0
                    && row.expires_at.is_none_or(|end| end > self.latest)
            });
            assert!(free.is_none(), "{} waits beside {free:?}", waiting.id);
        }
        self.ledger = ledger;
    }
}

/// Whether the table leads from one of these to that state, by what happens by itself and by these moves.
fn leads(from: &[State], to: State, asked: &[(State, State)]) -> bool {
    let mut reached: Vec<State> = from.to_vec();
    let mut index = 0;
    while index < reached.len() {
        let here = reached[index];
        let alone = TABLE.iter().filter(|row| row.0 == here && BY_ITSELF.contains(&row.1)).map(|row| row.2);
        let moves = asked.iter().filter(|row| row.0 == here).map(|row| row.1);
        for there in alone.chain(moves).collect::<Vec<_>>() {
            let in_table = TABLE.iter().any(|row| row.0 == here && row.2 == there);
            if in_table && !reached.contains(&there) {
                reached.push(there);
            }
        }
        index += 1;
    }
    reached.contains(&to)
}

async fn run(home: Home, steps: Vec<Step>) {
    let mut world = World::new(home).await;
    for step in steps {
        match step {
            Step::Clock(ms) => {
                world.store.now = world.at(ms);
                world.latest = world.latest.max(world.store.now);
                world.commit(Plan::default()).await;
            }
            Step::Crash => world = Box::pin(world.crash()).await,
            Step::Commit(parts) => {
                let plan = world.plan(parts);
                world.commit(plan).await;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_history_keeps_the_promises_of_the_ledger_and_the_table(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        runtime.block_on(run(Home::sqlite(), steps));
    }
}

proptest! {
    // Each has a database made and dropped: fewer of them.
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 50, ..ProptestConfig::default() })]

    #[test]
    fn every_history_keeps_the_same_promises_in_a_database(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        runtime.block_on(run(Home::postgres(), steps));
    }
}
