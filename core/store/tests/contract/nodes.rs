//! Several engines on one database: what one does the other does not, and what one leaves the other takes up.
//!
//! Where two come at once a third connection holds a lock that both need, until they are seen to wait for it: what follows is
//! the same at every run.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};
use tidings_model::rate::{Arrival, Rate};
use tidings_model::{CredentialFate, Event, MessageId, ScheduleName, State, Timestamp};
use tidings_store::{
    Accepted, Batch, ChannelState, ClaimRequest, Committed, Decided, Fired, Firing, LaneRow, NewMessage, NodeRow,
    Orphan, Receipt, Received, RunOwner, Settle, StoreError, TokenRow, Verdict,
};

use crate::harness::{
    BOUND, CANARY, FREE, HOUR, Home, NOON, Store, act, ids, key, new_id, outcome, permit, prepay, settlement, shop,
};

for_every_server! {
    the_claims_of_two_have_nothing_in_common,
    what_another_has_locked_is_stepped_over_and_nobody_waits,
    what_another_queues_before_what_was_claimed_does_not_wait_for_the_rest,
    all_that_another_queues_before_what_was_claimed_goes_before_the_rest,
    a_permit_that_another_has_taken_meanwhile_goes_to_no_second_message,
    a_permit_that_is_used_up_meanwhile_goes_with_no_message,
    two_that_claim_at_once_give_each_permit_to_one_message,
    what_was_taken_over_is_not_settled_by_its_former_owner,
    what_was_left_in_a_channel_that_an_engine_does_not_know_is_left_to_one_that_does,
    a_lease_that_is_over_has_its_node_join_as_another_before_it_claims,
    a_node_that_claims_nothing_joins_again_too,
    one_key_at_two_nodes_at_once_is_accepted_once,
    a_nominal_time_that_two_fire_at_once_runs_once,
    an_older_token_never_takes_the_place_of_a_newer_one,
    a_rate_holds_over_both,
    a_bound_on_what_is_on_its_way_holds_over_both,
    what_one_pauses_the_other_does_not_claim,
    a_permit_that_comes_while_another_lets_its_message_wait_is_found,
    the_counts_of_both_are_the_sum,
    a_connection_that_ends_in_the_middle_of_a_commit_doubles_nothing,
    a_connection_that_ends_between_two_commits_undoes_nothing_that_was_told,
    an_engine_with_nothing_to_do_finds_back_when_its_connection_has_ended,
    a_nul_in_what_a_provider_tells_stops_no_batch,
    a_password_is_in_no_writer_that_is_shown,
    two_that_wait_for_each_other_begin_again,
    the_nodes_are_listed_with_what_they_tell,
    a_receipt_and_its_outcome_that_come_at_once_to_two_meet,
    a_node_hears_the_bell_of_others_and_not_its_own,
}

/// How long something may take that takes no time.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Ends when so many others wait for a lock in this database.
pub(crate) async fn until_waiting(third: &mut PgConnection, count: i64) {
    let begun = Instant::now();
    loop {
        // In a transaction what others do is shown as it was at the first look.
        run(third, "SELECT pg_stat_clear_snapshot()").await;
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(&mut *third)
        .await
        .unwrap();
        if waiting >= count {
            return;
        }
        assert!(begun.elapsed() < SOON, "{waiting} of {count} wait for a lock");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn run(connection: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(connection).await.unwrap();
}

pub(crate) async fn commit(store: &mut Store, batch: Batch) -> Committed {
    let batch = Batch { now: store.now, ..batch };
    tokio::time::timeout(SOON, store.writer.commit(&batch)).await.expect("a commit ends").unwrap()
}

pub(crate) fn claims(store: &Store, channel: &str, limit: u32) -> Batch {
    Batch { claims: vec![store.room(channel, limit)], ..Batch::default() }
}

fn rescue(orphan: &Orphan) -> Settle {
    Settle {
        message: orphan.message,
        generation: orphan.generation,
        channel: orphan.channel,
        started_at: orphan.claimed_at,
        ended_at: orphan.claimed_at,
        outcome: "rescued",
        settlement: settlement(State::Unknown, CredentialFate::Spend),
        rescued: true,
    }
}

async fn the_claims_of_two_have_nothing_in_common(mut one: Store) {
    let mut other = one.beside().await;
    let messages: Vec<NewMessage> = (0..200).map(|n| one.message(FREE, &format!("r{n}"))).collect();
    let mut accepted = one.accept(messages).await;
    accepted.sort_unstable();
    // What the other remembers is as old as a quarter of a second.
    let mut claimed = Vec::new();
    let begun = Instant::now();
    while claimed.len() < accepted.len() {
        let (mine, theirs) = (claims(&one, FREE, 60), claims(&other, FREE, 60));
        let (mine, theirs) = tokio::join!(commit(&mut one, mine), commit(&mut other, theirs));
        claimed.extend(ids(&mine.claimed));
        claimed.extend(ids(&theirs.claimed));
        assert!(begun.elapsed() < SOON, "{} of {} were claimed", claimed.len(), accepted.len());
    }
    claimed.sort_unstable();
    assert_eq!(claimed, accepted);
    one.check().await;
}

async fn what_another_has_locked_is_stepped_over_and_nobody_waits(mut one: Store) {
    let held = one.accept_one(FREE, "ann").await;
    let free = one.accept_one(FREE, "ben").await;
    let mut third = one.home.connect().await;
    let mut transaction = third.begin().await.unwrap();
    sqlx::query("SELECT FROM message WHERE id = $1 FOR UPDATE").bind(held.0).execute(&mut *transaction).await.unwrap();
    let batch = claims(&one, FREE, 9);
    assert_eq!(ids(&commit(&mut one, batch).await.claimed), [free]);
    transaction.rollback().await.unwrap();
    // It stands before what was claimed: there one looks now and then.
    let begun = Instant::now();
    let mut claimed = Vec::new();
    while claimed.is_empty() {
        assert!(begun.elapsed() < SOON, "what was locked is claimed in the end");
        claimed = ids(&one.claim(FREE, 9).await);
    }
    assert_eq!(claimed, [held]);
}

/// One accepts so many for everybody, and another begins to claim them.
async fn begun_by_another(one: &mut Store, many: usize) -> Store {
    let mut other = one.beside().await;
    let messages = (0..many).map(|n| one.message(FREE, &format!("r{n}"))).collect();
    commit(one, Batch { messages, ..Batch::default() }).await;
    while other.writer.count(one.channel(FREE), State::Queued) == 0 {
        other.writer.news(one.now, false).await.unwrap();
    }
    let batch = claims(&other, FREE, 10);
    assert_eq!(commit(&mut other, batch).await.claimed.len(), 10);
    other
}

async fn what_another_queues_before_what_was_claimed_does_not_wait_for_the_rest(mut one: Store) {
    let mut other = begun_by_another(&mut one, 1000).await;
    let urgent = NewMessage { priority: 1, ..one.message(FREE, "ann") };
    let urgent = new_id(commit(&mut one, Batch { messages: vec![urgent], ..Batch::default() }).await.accepted[0]);
    // For each that goes another comes behind all: however many claims go by until one looks there, they never run out.
    let begun = Instant::now();
    while begun.elapsed() < SOON {
        let messages = vec![other.message(FREE, "ben")];
        let batch = Batch { messages, ..claims(&other, FREE, 1) };
        if ids(&commit(&mut other, batch).await.claimed) == [urgent] {
            return;
        }
    }
    panic!("a message of a higher priority waits behind all others");
}

/// As many as had room went each quarter of a second, and the rest behind what was due later.
async fn all_that_another_queues_before_what_was_claimed_goes_before_the_rest(mut one: Store) {
    let mut other = begun_by_another(&mut one, 1000).await;
    one.now = NOON.before(HOUR);
    let messages = (0..30).map(|n| one.message(FREE, &format!("early{n}"))).collect();
    let early = commit(&mut one, Batch { messages, ..Batch::default() }).await.accepted;
    let early: HashSet<MessageId> = early.into_iter().map(new_id).collect();
    let (mut first, mut claimed, begun) = (None, 0, Instant::now());
    for turn in 0.. {
        let messages = (0..5).map(|_| other.message(FREE, "late")).collect();
        let batch = Batch { messages, ..claims(&other, FREE, 5) };
        let found = ids(&commit(&mut other, batch).await.claimed).iter().filter(|id| early.contains(id)).count();
        first = first.or((found > 0).then_some(turn));
        claimed += found;
        if first.is_some_and(|first| turn == first + 5) {
            break;
        }
        assert!(begun.elapsed() < SOON, "what another queued before waits behind all others");
    }
    assert_eq!(claimed, 30, "in six claims of five from the one that found the first of them");
}

/// Claims one while a third holds the ledger, and commits as soon as it is waited for.
async fn claim_behind(one: &mut Store, third: &mut PgConnection) -> Committed {
    let batch = claims(one, BOUND, 1);
    let release = async {
        until_waiting(third, 1).await;
        run(third, "COMMIT").await;
    };
    tokio::join!(commit(one, batch), release).0
}

async fn a_permit_that_another_has_taken_meanwhile_goes_to_no_second_message(mut one: Store) {
    one.post(vec![permit("ann", "a"), permit("ann", "b")]).await;
    let id = one.accept_one(BOUND, "ann").await;
    let mut third = one.home.connect().await;
    run(
        &mut third,
        "BEGIN; LOCK TABLE credential IN EXCLUSIVE MODE; UPDATE credential SET bound_to = 999 WHERE identity = 'a'",
    )
    .await;
    let committed = claim_behind(&mut one, &mut third).await;
    assert_eq!(crate::harness::pairs(&committed.claimed), [(id, "b".to_owned())]);
    assert_eq!(one.ledger().await, [(1, Some(MessageId(999))), (1, Some(id))]);
}

async fn a_permit_that_is_used_up_meanwhile_goes_with_no_message(mut one: Store) {
    one.post(vec![permit("ann", "a")]).await;
    let id = one.accept_one(BOUND, "ann").await;
    let mut third = one.home.connect().await;
    run(
        &mut third,
        "BEGIN; LOCK TABLE credential IN EXCLUSIVE MODE; UPDATE credential SET uses_left = 0 WHERE identity = 'a'",
    )
    .await;
    let committed = claim_behind(&mut one, &mut third).await;
    assert!(committed.claimed.is_empty(), "it was chosen, and is not free when it comes to be bound");
    assert_eq!(committed.waiting.iter().map(|row| row.message).collect::<Vec<_>>(), [id]);
    assert_eq!(one.ledger().await, [(0, None)]);
}

async fn two_that_claim_at_once_give_each_permit_to_one_message(mut one: Store) {
    let mut other = one.beside().await;
    for round in 0..5 {
        let values: Vec<String> = (0..6).map(|n| format!("{round}-{n}")).collect();
        one.post(values.iter().map(|value| permit("ann", value)).collect()).await;
        let messages = (0..8).map(|_| one.message(BOUND, "ann")).collect();
        one.accept(messages).await;
        let mut bound = Vec::new();
        let begun = Instant::now();
        while bound.len() < values.len() {
            let (mine, theirs) = (claims(&one, BOUND, 4), claims(&other, BOUND, 4));
            let (mine, theirs) = tokio::join!(commit(&mut one, mine), commit(&mut other, theirs));
            let claimed = [mine.claimed, theirs.claimed].concat();
            bound.extend(crate::harness::pairs(&claimed).into_iter().map(|pair| pair.1));
            let settles = claimed.iter().map(|one| outcome(one, State::Sent, CredentialFate::Spend)).collect();
            assert!(one.settle(settles).await.into_iter().all(|applied| applied));
            assert!(begun.elapsed() < SOON, "{} of {} permits were bound", bound.len(), values.len());
        }
        bound.sort_unstable();
        assert_eq!(bound, values, "each went out once");
    }
}

async fn what_was_taken_over_is_not_settled_by_its_former_owner(mut one: Store) {
    let mut other = one.beside().await;
    one.post(vec![prepay("ann", "p")]).await;
    let id = one.accept_one(BOUND, "ann").await;
    let claimed = one.claim_one(BOUND).await;
    assert!(other.writer.orphans().await.unwrap().is_empty(), "its lease holds");
    one.home.end_leases().await;
    // Whoever looks is there again before it takes anything over.
    commit(&mut other, Batch::default()).await;
    let orphans = other.writer.orphans().await.unwrap();
    assert_eq!(orphans.iter().map(|orphan| orphan.message).collect::<Vec<_>>(), [id]);
    let late = outcome(&claimed, State::Sent, CredentialFate::Spend);
    assert_eq!(one.settle(vec![late.clone()]).await, [false]);
    assert_eq!(one.ledger().await, [(3, Some(id))]);
    assert!(other.writer.orphans().await.unwrap().is_empty(), "it is taken over once");
    assert_eq!(other.settle(vec![rescue(&orphans[0])]).await, [true]);
    assert_eq!(one.settle(vec![late]).await, [false]);
    assert_eq!(one.state(id).await, State::Unknown);
}

async fn what_was_left_in_a_channel_that_an_engine_does_not_know_is_left_to_one_that_does(mut one: Store) {
    let mut other = one.beside().await;
    let (known, unknown) = (one.accept_one(FREE, "ann").await, one.accept_one(BOUND, "ben").await);
    one.post(vec![prepay("ben", "p")]).await;
    one.claim_one(FREE).await;
    one.claim_one(BOUND).await;
    let knows = [one.channel(FREE)];
    let left = |store: &Store| {
        let reader = store.reader.clone();
        async move { reader.orphans_left(&knows).await.unwrap().into_iter().map(|(_, count)| count).sum::<u64>() }
    };
    assert_eq!(left(&other).await, 0, "its lease holds");
    one.home.end_leases().await;
    commit(&mut other, Batch::default()).await;
    let messages =
        |orphans: Vec<tidings_store::Orphan>| orphans.iter().map(|orphan| orphan.message).collect::<Vec<_>>();
    assert_eq!(messages(other.writer.orphans_of(&knows).await.unwrap()), [known]);
    assert_eq!(left(&other).await, 1);
    assert_eq!(one.state(unknown).await, State::Sending, "nobody decided about it");
    assert_eq!(messages(other.writer.orphans_of(&[one.channel(BOUND)]).await.unwrap()), [unknown]);
}

async fn a_lease_that_is_over_has_its_node_join_as_another_before_it_claims(mut one: Store) {
    let mut other = one.beside().await;
    let before = one.accept_one(FREE, "ann").await;
    let claimed = one.claim_one(FREE).await;
    let node = one.writer.lease().node();
    one.home.end_leases().await;
    let after = one.accept_one(FREE, "ben").await;
    assert_eq!(one.claim_one(FREE).await.message, after);
    assert_ne!(one.writer.lease().node(), node, "it is another");
    commit(&mut other, Batch::default()).await;
    let orphans = other.writer.orphans().await.unwrap();
    assert_eq!(orphans.iter().map(|orphan| orphan.message).collect::<Vec<_>>(), [before], "and not what it has now");
    assert_eq!(other.settle(vec![rescue(&orphans[0])]).await, [true]);
    assert_eq!(one.settle(vec![outcome(&claimed, State::Sent, CredentialFate::Spend)]).await, [false]);
}

async fn a_node_that_claims_nothing_joins_again_too(one: Store) {
    let name = tidings_store::NodeName { lease: Duration::from_millis(300), ..Default::default() };
    let (mut writer, _) = tidings_store::open_as(&one.home.url(), name).await.unwrap();
    let (node, lease) = (writer.lease().node(), writer.lease());
    // Its renewals come too late from now on.
    let mut third = one.home.connect().await;
    run(&mut third, "UPDATE node SET lease_until = 0").await;
    let begun = Instant::now();
    while lease.is_trusted() {
        assert!(begun.elapsed() < SOON, "a lease that is not renewed is trusted no more");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    writer.commit(&Batch { now: one.now, ..Batch::default() }).await.unwrap();
    assert_ne!(writer.lease().node(), node);
    assert!(lease.is_trusted(), "whoever asks the lease asks that of the new node");
}

/// Has the server end the connections that wait for a lock.
async fn end_who_waits(third: &mut PgConnection) {
    run(
        third,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'",
    )
    .await;
    let begun = Instant::now();
    loop {
        let left: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(&mut *third)
        .await
        .unwrap();
        if left == 0 {
            return;
        }
        assert!(begun.elapsed() < SOON, "a connection that is ended ends");
    }
}

async fn one_key_at_two_nodes_at_once_is_accepted_once(mut one: Store) {
    let mut other = one.beside().await;
    let keyed = |store: &Store| Batch {
        messages: vec![NewMessage { key: key("k"), body_hash: 7, ..store.message(FREE, "ann") }],
        ..Batch::default()
    };
    // Both have looked for the key and found none, when they come to write it.
    let mut third = one.home.connect().await;
    run(&mut third, "BEGIN; INSERT INTO idempotency VALUES ('k', 1, 7, 0)").await;
    let (mine, theirs) = (keyed(&one), keyed(&other));
    let (mine, theirs, ()) = tokio::join!(commit(&mut one, mine), commit(&mut other, theirs), async {
        until_waiting(&mut third, 2).await;
        run(&mut third, "ROLLBACK").await;
    });
    let (first, second) = match (mine.accepted[0], theirs.accepted[0]) {
        (Accepted::New(id), second) | (second, Accepted::New(id)) => (id, second),
        both => panic!("one of them is accepted: {both:?}"),
    };
    assert_eq!(second, Accepted::Repeat(first));
    assert_eq!(one.messages(&Default::default()).await.len(), 1);
    // One whose time is over is free for both.
    one.pass(tidings_model::limits::IDEMPOTENCY_LIFE);
    let again = keyed(&one);
    assert_ne!(new_id(commit(&mut one, again).await.accepted[0]), first);
}

async fn a_nominal_time_that_two_fire_at_once_runs_once(mut one: Store) {
    let mut other = one.beside().await;
    let now = one.now;
    let firing = || Firing {
        schedule: ScheduleName::new("digest").unwrap(),
        definition: "0 9 * * *".to_owned(),
        span: None,
        verdicts: vec![Decided { at: now, verdict: Verdict::Fired, late: Duration::ZERO }],
        run: Some((now, "send digest".to_owned())),
        cursor_at: now,
        next_at: Some(now.after(HOUR)),
        skipped: 0,
        backfill_at: None,
    };
    let batch = || Batch { firings: vec![firing()], ..Batch::default() };
    let mut third = one.home.connect().await;
    run(&mut third, "BEGIN; SELECT pg_advisory_xact_lock(7407, 2)").await;
    let (mine, theirs, ()) = tokio::join!(commit(&mut one, batch()), commit(&mut other, batch()), async {
        until_waiting(&mut third, 2).await;
        run(&mut third, "COMMIT").await;
    });
    let ((Fired::Run(run), second) | (second, Fired::Run(run))) = (mine.fired[0], theirs.fired[0]) else {
        panic!("one of them fires");
    };
    assert_eq!(second, Fired::Before(Some(run)));
    assert_eq!(one.reader.runs(None, None, 9).await.unwrap().rows.len(), 1);
    assert_eq!(one.reader.firings("digest", None, 9).await.unwrap().rows.len(), 1);
    // It is in the hands of whoever began it, until that one is gone.
    let (one_has, other_has) = (owner(&one).await, owner(&other).await);
    let one_began = matches!(mine.fired[0], Fired::Run(_));
    let expected = if one_began { [RunOwner::This, RunOwner::Another] } else { [RunOwner::Another, RunOwner::This] };
    assert_eq!([one_has, other_has], expected);
    one.home.end_leases().await;
    assert_eq!(owner(&one).await, RunOwner::Gone);
}

/// In whose hands the one unfinished run is.
async fn owner(store: &Store) -> RunOwner {
    store.reader.unfinished_runs().await.unwrap()[0].owner
}

async fn an_older_token_never_takes_the_place_of_a_newer_one(mut one: Store) {
    let mut other = one.beside().await;
    let token = |generation: i64| TokenRow {
        app: shop(),
        account: "account".to_owned(),
        value: Some(format!("{CANARY}-{generation}")),
        generation,
        fetched_at: Some(Timestamp(generation)),
        expires_at: None,
        day: 0,
        fetches: 1,
    };
    let batch = |generation| Batch { tokens: vec![token(generation)], ..Batch::default() };
    commit(&mut one, batch(8)).await;
    commit(&mut other, batch(7)).await;
    assert!(one.writer.tokens().await.unwrap()[&shop()] == token(8), "the newer one stays");
    commit(&mut other, batch(9)).await;
    assert!(one.writer.tokens().await.unwrap()[&shop()] == token(9), "the newest one is there");
}

async fn a_rate_holds_over_both(mut one: Store) {
    let mut other = one.beside().await;
    let messages = (0..9).map(|_| one.message(FREE, "ann")).collect();
    one.accept(messages).await;
    let rate = Rate { count: 2, period: Duration::from_secs(1) };
    let limited = |store: &Store| Batch {
        claims: vec![ClaimRequest { rate: Some((rate, Arrival::default())), ..store.room(FREE, 9) }],
        ..Batch::default()
    };
    commit(&mut other, Batch::default()).await;
    let allowed = rate.allowed(Arrival::default(), one.now) as usize;
    let (mine, theirs) = (limited(&one), limited(&other));
    let (mine, theirs) = tokio::join!(commit(&mut one, mine), commit(&mut other, theirs));
    assert_eq!(mine.claimed.len() + theirs.claimed.len(), allowed);
}

async fn a_bound_on_what_is_on_its_way_holds_over_both(mut one: Store) {
    let messages = (0..9).map(|_| one.message(FREE, "ann")).collect();
    one.accept(messages).await;
    let mut other = one.beside().await;
    let limited = |store: &Store, limit| Batch {
        claims: vec![ClaimRequest { in_flight_max: Some(5), ..store.room(FREE, limit) }],
        ..Batch::default()
    };
    let (mine, theirs) = (limited(&one, 3), limited(&other, 3));
    let (mine, theirs) = tokio::join!(commit(&mut one, mine), commit(&mut other, theirs));
    assert_eq!(mine.claimed.len() + theirs.claimed.len(), 5);
    // What is settled makes room in the same transaction.
    let settles = vec![outcome(&mine.claimed[0], State::Sent, CredentialFate::Spend)];
    let batch = Batch { settles, ..limited(&one, 9) };
    assert_eq!(commit(&mut one, batch).await.claimed.len(), 1);
    one.check().await;
}

async fn what_one_pauses_the_other_does_not_claim(mut one: Store) {
    one.accept_one(FREE, "ann").await;
    let mut other = one.beside().await;
    let lane = |store: &Store, state| LaneRow { channel: store.channel(FREE), state };
    let paused = ChannelState { paused: Some((one.now, "lunch".to_owned())), ..ChannelState::default() };
    let lanes = vec![lane(&one, paused)];
    commit(&mut one, Batch { lanes, ..Batch::default() }).await;
    assert_eq!(other.claim(FREE, 9).await.len(), 0);
    let closed = ChannelState { closed: Some((one.now.after(HOUR), "45009".to_owned())), ..ChannelState::default() };
    let lanes = vec![lane(&one, closed)];
    commit(&mut one, Batch { lanes, ..Batch::default() }).await;
    assert_eq!(other.claim(FREE, 9).await.len(), 0);
    other.pass(HOUR);
    assert_eq!(other.claim(FREE, 9).await.len(), 1);
}

async fn a_permit_that_comes_while_another_lets_its_message_wait_is_found(mut one: Store) {
    let mut other = one.beside().await;
    for claim_is_first in [true, false] {
        let value = format!("first-{claim_is_first}");
        let id = one.accept_one(BOUND, "ann").await;
        let cancelled = one.accept_one(FREE, "ben").await;
        // Both are held up at their end, where each has what it locked.
        let mut third = one.home.connect().await;
        run(&mut third, "BEGIN; LOCK TABLE tally IN SHARE MODE").await;
        let mut claim = claims(&one, BOUND, 1);
        // Else the one would wait for the channel that the other has.
        claim.claims[0].in_flight_max = None;
        // So that there is something to count.
        let operations = vec![act(Event::Cancel, cancelled)];
        let post = Batch { operations, credentials: vec![permit("ann", &value)], ..Batch::default() };
        let (mut looks, mut again) = (one.home.connect().await, one.home.connect().await);
        let (claimed, _, ()) = if claim_is_first {
            tokio::join!(
                commit(&mut one, claim),
                async {
                    until_waiting(&mut looks, 1).await;
                    commit(&mut other, post).await
                },
                async {
                    until_waiting(&mut again, 2).await;
                    run(&mut third, "COMMIT").await;
                }
            )
        } else {
            tokio::join!(
                async {
                    until_waiting(&mut looks, 1).await;
                    let claimed = commit(&mut one, claim).await;
                    run(&mut third, "COMMIT").await;
                    claimed
                },
                commit(&mut other, post),
                async {}
            )
        };
        // It was woken, or never waited: nobody waits beside a permit that is his.
        assert_eq!((claimed.claimed.len(), claimed.waiting.len()), (0, usize::from(claim_is_first)));
        assert_eq!(one.state(id).await, State::Queued);
        let mut claimed = Vec::new();
        // What the other counted is seen within the time of a look around.
        let begun = Instant::now();
        while claimed.is_empty() {
            assert!(begun.elapsed() < SOON, "it is claimed");
            claimed = one.claim(BOUND, 1).await;
        }
        assert_eq!(crate::harness::pairs(&claimed), [(id, value)]);
        one.settle(vec![outcome(&claimed[0], State::Sent, CredentialFate::Spend)]).await;
    }
}

async fn the_counts_of_both_are_the_sum(mut one: Store) {
    let mut other = one.beside().await;
    let messages = (0..5).map(|_| one.message(FREE, "ann")).collect();
    one.accept(messages).await;
    let begun = Instant::now();
    let mut claimed = Vec::new();
    while claimed.is_empty() {
        claimed = other.claim(FREE, 3).await;
        assert!(begun.elapsed() < SOON, "what one accepted the other claims");
    }
    let settles = claimed.iter().map(|one| outcome(one, State::Sent, CredentialFate::Spend)).collect();
    other.settle(settles).await;
    let counts = one.reader.counts().await.unwrap().messages;
    let of = |state| counts.iter().filter(|row| row.1 == state).map(|row| row.2).sum::<i64>();
    assert_eq!((of(State::Queued), of(State::Sending), of(State::Sent)), (2, 0, 3));
    while one.writer.count(one.channel(FREE), State::Sent) != 3
        || one.writer.count(one.channel(FREE), State::Queued) != 2
    {
        commit(&mut one, Batch::default()).await;
        assert!(begun.elapsed() < SOON, "one comes to know what the other did");
    }
}

/// An outcome that spends a use of the only permit, and who has that permit locked until it commits.
pub(crate) async fn an_outcome_that_will_wait(one: &mut Store) -> (Settle, PgConnection) {
    one.post(vec![prepay("ann", "p")]).await;
    one.accept_one(BOUND, "ann").await;
    let claimed = one.claim_one(BOUND).await;
    let mut third = one.home.connect().await;
    run(&mut third, "BEGIN; SELECT FROM credential FOR UPDATE").await;
    (outcome(&claimed, State::Queued, CredentialFate::Spend), third)
}

async fn a_connection_that_ends_in_the_middle_of_a_commit_doubles_nothing(mut one: Store) {
    let (settle, mut third) = an_outcome_that_will_wait(&mut one).await;
    let batch = Batch { now: one.now, settles: vec![settle.clone()], ..Batch::default() };
    let (failed, ()) = tokio::join!(one.writer.commit(&batch), async {
        until_waiting(&mut third, 1).await;
        end_who_waits(&mut third).await;
        run(&mut third, "COMMIT").await;
    });
    assert!(matches!(failed, Err(StoreError::Database { .. })), "{failed:?}");
    assert_eq!(
        (one.state(settle.message).await, one.ledger().await),
        (State::Sending, vec![(3, Some(settle.message))])
    );
    assert_eq!(one.settle(vec![settle.clone()]).await, [true]);
    assert_eq!(one.settle(vec![settle]).await, [false]);
    assert_eq!(one.ledger().await, [(2, None)]);
}

/// Three messages went out twice once: the transaction that could not begin was taken for the one before it, whose claims
/// were on their way, and they were undone.
async fn a_connection_that_ends_between_two_commits_undoes_nothing_that_was_told(mut one: Store) {
    let id = one.accept_one(FREE, "ann").await;
    let claimed = one.claim_one(FREE).await;
    end_all_others(&one.home).await;
    let now = one.now;
    let mut failures = 0;
    while one.writer.commit(&Batch { now, ..Batch::default() }).await.is_err() {
        failures += 1;
        assert!(failures < 20, "it connects anew");
    }
    assert!(failures > 0, "the connection had ended");
    assert_eq!(one.state(id).await, State::Sending, "what was claimed is on its way");
    assert_eq!(one.settle(vec![outcome(&claimed, State::Sent, CredentialFate::Spend)]).await, [true]);
}

/// Has the server end every connection to this database.
pub(crate) async fn end_all_others(home: &Home) {
    run(
        &mut home.connect().await,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .await;
}

/// It commits nothing, and so no commit failed: it said the same every second, until somebody's call was refused.
async fn an_engine_with_nothing_to_do_finds_back_when_its_connection_has_ended(mut one: Store) {
    end_all_others(&one.home).await;
    let now = one.now;
    assert!(one.writer.news(now, false).await.is_err(), "the connection had ended");
    assert!(one.writer.news(now, false).await.is_ok(), "it connects anew");
    one.accept_one(FREE, "ann").await;
}

async fn a_nul_in_what_a_provider_tells_stops_no_batch(mut one: Store) {
    let id = one.accept_one(FREE, "ann").await;
    let mut settle = outcome(&one.claim_one(FREE).await, State::Sent, CredentialFate::Spend);
    settle.settlement.provider_id = Some("p-1".to_owned());
    one.settle(vec![settle]).await;
    let receipts = vec![Receipt {
        app: shop(),
        provider_id: "p-1".to_owned(),
        delivered: false,
        detail: "gone\0for good".to_owned(),
        received_at: one.now,
    }];
    assert_eq!(one.commit(Batch { receipts, ..Batch::default() }).await.received, [Received::Moved]);
    assert_eq!(one.message_row(id).await.detail.as_deref(), Some("gone\u{fffd}for good"));
}

async fn a_password_is_in_no_writer_that_is_shown(one: Store) {
    let url = one.home.url();
    let (scheme, rest) = url.split_once("://").expect("an address");
    let (user, place) = rest.split_once('@').expect("the address has a user");
    // Who has none of his own is asked for none.
    let (user, password) = user.split_once(':').unwrap_or((user, CANARY));
    let (writer, reader) = tidings_store::open(&format!("{scheme}://{user}:{password}@{place}")).await.unwrap();
    let shown = format!("{writer:?} {reader:?}");
    assert!(!shown.contains(password), "{shown}");
    writer.close().await.unwrap();
}

async fn two_that_wait_for_each_other_begin_again(mut one: Store) {
    let accepted = vec![one.accept_one(FREE, "ann").await, one.accept_one(FREE, "ben").await];
    let claimed = one.claim(FREE, 2).await;
    let mut third = one.home.connect().await;
    // Not the third is the one that gives way.
    run(&mut third, "SET deadlock_timeout = '50s'; BEGIN").await;
    let lock = "UPDATE channel SET closed_reason = closed_reason WHERE name = $1";
    sqlx::query(lock).bind(BOUND).execute(&mut third).await.unwrap();
    let state = ChannelState::default();
    let lanes = [FREE, BOUND].map(|name| LaneRow { channel: one.channel(name), state: state.clone() }).into();
    let settles = claimed.iter().map(|one| outcome(one, State::Sent, CredentialFate::Spend)).collect();
    let batch = Batch { settles, lanes, ..Batch::default() };
    let mut looks = one.home.connect().await;
    let (committed, ()) = tokio::join!(commit(&mut one, batch), async {
        until_waiting(&mut looks, 1).await;
        sqlx::query(lock).bind(FREE).execute(&mut third).await.unwrap();
        run(&mut third, "COMMIT").await;
    });
    assert_eq!(committed.settled, [true, true]);
    for id in accepted {
        assert_eq!(one.state(id).await, State::Sent);
    }
    one.check().await;
}

async fn the_nodes_are_listed_with_what_they_tell(one: Store) {
    let name = tidings_store::NodeName {
        name: "beta".to_owned(),
        version: "1.2.3".to_owned(),
        address: Some("beta:7380".to_owned()),
        lease: Duration::from_millis(500),
    };
    let (writer, _) = tidings_store::open_as(&one.home.url(), name).await.unwrap();
    let standing =
        tidings_store::Standing { in_flight: 3, sent_per_s: 40, draining: true, config: "fingerprint".to_owned() };
    writer.lease().tell(standing);
    let begun = Instant::now();
    let nodes = loop {
        let nodes = one.reader.nodes().await.unwrap();
        if nodes.last().is_some_and(|node| node.draining) {
            break nodes;
        }
        assert!(begun.elapsed() < SOON, "a node tells of itself with each renewal");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let [first, beta] = nodes.as_slice() else { panic!("two nodes: {nodes:?}") };
    assert_eq!((Some(first.id), first.name.as_str()), (one.writer.lease().node(), "node"));
    assert!(first.is_there() && beta.is_there() && first.id < beta.id);
    let NodeRow { id, started_at, renewed_at, lease_until, now, .. } = *beta;
    let told = NodeRow {
        id,
        name: "beta".to_owned(),
        version: "1.2.3".to_owned(),
        config: "fingerprint".to_owned(),
        address: Some("beta:7380".to_owned()),
        started_at,
        renewed_at,
        lease_until,
        draining: true,
        in_flight: 3,
        sent_per_s: 40,
        now,
    };
    assert_eq!(*beta, told);
    assert!(started_at <= renewed_at && lease_until == renewed_at.after(Duration::from_millis(500)));
    writer.close().await.unwrap();
    let nodes = one.reader.nodes().await.unwrap();
    assert!(!nodes[1].is_there(), "one that left is not there");
}

async fn a_receipt_and_its_outcome_that_come_at_once_to_two_meet(mut one: Store) {
    let mut other = one.beside().await;
    let id = one.accept_one(FREE, "ann").await;
    let mut settle = outcome(&one.claim_one(FREE).await, State::Sent, CredentialFate::Spend);
    settle.settlement.provider_id = Some("p-1".to_owned());
    let receipt = Receipt {
        app: shop(),
        provider_id: "p-1".to_owned(),
        delivered: true,
        detail: String::new(),
        received_at: one.now,
    };
    // The outcome is on its way to the disk when the receipt is looked up.
    let mut third = one.home.connect().await;
    run(&mut third, "BEGIN; LOCK TABLE tally IN SHARE MODE").await;
    let settles = Batch { settles: vec![settle], ..Batch::default() };
    let receipts = Batch { receipts: vec![receipt], ..Batch::default() };
    let (settled, received) = tokio::join!(commit(&mut one, settles), async {
        until_waiting(&mut third, 1).await;
        let received = commit(&mut other, receipts).await;
        run(&mut third, "COMMIT").await;
        received
    });
    assert_eq!((settled.settled, received.received), (vec![true], vec![Received::Unknown]));
    assert_eq!(one.state(id).await, State::Sent, "each missed the other");
    let begun = Instant::now();
    while one.state(id).await != State::Delivered {
        commit(&mut one, Batch::default()).await;
        assert!(begun.elapsed() < SOON, "whoever looks next finds both");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut left = one.home.connect().await;
    let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM receipt").fetch_one(&mut left).await.unwrap();
    assert_eq!(waiting, 0);
    one.check().await;
}

/// Has commits land on the server's disk and be answered to nobody: they wait for a standby that never comes, until their
/// connection is ended. One of so many.
pub(crate) async fn lose_one_answer(third: &mut PgConnection) {
    let begun = Instant::now();
    loop {
        let ended: i64 = sqlx::query_scalar(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE wait_event = 'SyncRep' AND (query = 'COMMIT' OR query LIKE '%lapsed%' OR query LIKE '%tidings_turn%')",
        )
        .fetch_one(&mut *third)
        .await
        .unwrap();
        if ended > 0 {
            break;
        }
        assert!(begun.elapsed() < SOON, "a commit waits for the standby");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    run(third, "ALTER SYSTEM RESET synchronous_standby_names").await;
    run(third, "SELECT pg_reload_conf()").await;
}

/// Ends when the server has heard of it: when some write waits.
pub(crate) async fn begin_to_lose_answers(home: &Home, third: &mut PgConnection) {
    run(third, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
    run(third, "SELECT pg_reload_conf()").await;
    let begun = Instant::now();
    loop {
        let mut probe = home.connect().await;
        let write = sqlx::raw_sql("UPDATE meta SET value = value").execute(&mut probe);
        if tokio::time::timeout(Duration::from_millis(200), write).await.is_err() {
            return;
        }
        assert!(begun.elapsed() < SOON, "a write waits for the standby");
    }
}

#[tokio::test]
async fn what_landed_and_nobody_heard_of_is_undone_or_done_again() {
    let mut one = Store::new(Home::postgres_alone()).await;
    let mut third = one.home.connect().await;
    one.post(vec![permit("ann", "a")]).await;
    let id = one.accept_one(BOUND, "ann").await;

    begin_to_lose_answers(&one.home, &mut third).await;
    let batch = Batch { now: one.now, ..claims(&one, BOUND, 1) };
    let (failed, ()) = tokio::join!(one.writer.commit(&batch), lose_one_answer(&mut third));
    assert!(failed.is_err(), "nobody heard of it");
    assert_eq!((one.state(id).await, one.ledger().await), (State::Sending, vec![(1, Some(id))]), "and it landed");
    let claimed = one.claim(BOUND, 9).await;
    assert_eq!(crate::harness::pairs(&claimed), [(id, "a".to_owned())], "nothing of it was sent");
    assert!(!claimed[0].ambiguous);

    let mut one = one.crash().await;
    begin_to_lose_answers(&one.home, &mut third).await;
    let (failed, ()) = tokio::join!(one.writer.orphans(), lose_one_answer(&mut third));
    assert!(failed.is_err(), "nobody heard of it");
    let orphans = one.writer.orphans().await.unwrap();
    assert_eq!(orphans.iter().map(|orphan| orphan.message).collect::<Vec<_>>(), [id]);
    assert_eq!(orphans[0].generation, claimed[0].generation + 2, "it was taken over twice");
    assert!(one.writer.orphans().await.unwrap().is_empty(), "what was heard of is not taken over again");
    assert_eq!(one.settle(vec![outcome(&claimed[0], State::Sent, CredentialFate::Spend)]).await, [false]);
    assert_eq!(one.settle(vec![rescue(&orphans[0])]).await, [true]);
    assert_eq!(one.ledger().await, [(0, None)]);
}

async fn a_node_hears_the_bell_of_others_and_not_its_own(mut one: Store) {
    let other = one.beside().await;
    let (own, others) = (one.writer.rung(), other.writer.rung());
    // Whoever has just begun to listen may have missed some.
    for round in 0..20 {
        let heard = async {
            let begun = Instant::now();
            loop {
                one.accept_one(FREE, "ann").await;
                if tokio::time::timeout(Duration::from_millis(200), others.notified()).await.is_ok() {
                    return;
                }
                assert!(begun.elapsed() < SOON, "the other hears the bell, round {round}");
            }
        };
        heard.await;
        assert!(tokio::time::timeout(Duration::ZERO, own.notified()).await.is_err(), "its own bell, round {round}");
    }
}
