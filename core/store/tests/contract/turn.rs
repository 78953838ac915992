//! Outcomes and claims alone are one turn of the queue, and one round trip. What holds of a transaction that goes step by step
//! holds of it, and whatever it does not do is done right behind it.

use sqlx::PgConnection;
use tidings_model::rate::{Arrival, Rate};
use tidings_model::{CredentialFate, MessageId, State, WebhookName};
use tidings_store::{
    Batch, ChannelState, ClaimRequest, Claimed, LaneRow, NewCredential, NewMessage, NewNotice, Settle, StoreError,
};

use crate::harness::{
    BOUND, FREE, HOUR, Home, NOON, SECOND, SISTER, Store, ids, new_id, outcome, pairs, permit, prepay,
};
use crate::nodes::{SOON, begin_to_lose_answers, claims, commit, lose_one_answer, run, until_waiting};

/// How often a scenario is played until it is seen in time: where a queue goes on is known for a quarter of a second, and so is
/// what others changed. After that a transaction goes step by step, and nothing is shown of a turn.
const PLAYS_MAX: u32 = 20;

/// Whether a scenario came to its end, or too late.
#[must_use]
#[derive(PartialEq, Eq)]
enum Seen {
    Whole,
    TooLate,
}

macro_rules! scenarios {
    ($($name:ident,)*) => {
        mod postgres {
            use super::{PLAYS_MAX, Seen};
            use crate::harness::{Home, Store};
            $(
                #[tokio::test]
                async fn $name() {
                    for _ in 0..PLAYS_MAX {
                        if super::$name(Store::new(Home::postgres()).await).await == Seen::Whole {
                            return;
                        }
                    }
                    panic!("no turn was taken as it should be, {PLAYS_MAX} times");
                }
            )*
        }
    };
}

scenarios! {
    outcomes_and_the_claims_they_make_room_for_are_one_turn,
    an_outcome_alone_is_a_turn_and_so_is_a_claim,
    each_recipient_goes_with_the_fitting_permit_that_ends_first,
    what_a_turn_leaves_is_claimed_right_behind_it,
    a_higher_priority_goes_first_and_takes_the_room_of_a_lower_one,
    channels_of_one_app_never_share_a_permit,
    what_kept_its_permit_goes_with_that_and_no_other,
    what_is_tried_again_later_is_due_then,
    an_outcome_that_came_too_late_undoes_the_turn_and_all_else_is_done,
    what_another_engine_paused_is_not_claimed_and_its_outcomes_are_written,
    what_another_engine_sends_takes_the_room,
    a_permit_that_another_has_locked_is_not_waited_for,
    a_lease_that_is_over_undoes_the_turn_and_what_follows_is_claimed_by_another_node,
    what_a_webhook_is_told_of_is_no_turn,
    a_channel_with_a_rate_goes_step_by_step,
    a_permit_that_comes_free_wakes_who_waits_in_the_same_transaction,
    a_lower_priority_takes_no_permit_that_one_before_it_is_left_to,
    what_another_engine_queues_before_the_rest_gets_its_permit_first,
    what_a_turn_claimed_is_handed_out_by_the_node_that_claimed_it,
    two_whose_turns_wait_for_one_channel_stay_within_its_bound,
    what_cannot_be_claimed_behind_a_turn_takes_nothing_of_it_back,
}

/// Counts the turns that are tried, and those that are done.
struct Watch {
    connection: PgConnection,
    seen: (i64, i64),
}

impl Watch {
    async fn over(store: &Store) -> Watch {
        let mut connection = store.home.connect().await;
        run(
            &mut connection,
            "ALTER FUNCTION tidings_turn RENAME TO the_turn;
             CREATE SEQUENCE tried MINVALUE 0;
             CREATE SEQUENCE done MINVALUE 0;
             SELECT nextval('tried'), nextval('done');
             CREATE FUNCTION tidings_turn(
                 bigint[], bigint[], bigint[], bigint[], bigint[], bigint[], bigint[], bigint[], text[], text[], text[],
                 bigint[], bigint[], bigint[], text[], jsonb, jsonb, bigint, bigint, bigint,
                 OUT ahead bigint, OUT rooms text, OUT taken text, OUT bound text, OUT passed text)
             LANGUAGE plpgsql AS $$
             BEGIN
                 ASSERT current_setting('transaction_isolation') = 'read committed';
                 PERFORM nextval('tried');
                 SELECT t.* INTO ahead, rooms, taken, bound, passed
                 FROM the_turn($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) AS t;
                 PERFORM nextval('done');
             END $$",
        )
        .await;
        Watch { connection, seen: (0, 0) }
    }

    /// Whether so many were tried, and so many done, since it was asked last.
    async fn saw(&mut self, tried: i64, done: i64) -> bool {
        let all = "SELECT tried.last_value, done.last_value FROM tried, done";
        let all: (i64, i64) = sqlx::query_as(all).fetch_one(&mut self.connection).await.unwrap();
        let before = std::mem::replace(&mut self.seen, all);
        (all.0 - before.0, all.1 - before.1) == (tried, done)
    }
}

/// Messages of these recipients are queued, and one before them was claimed just now: it is known where the queue goes on.
async fn begun(store: &mut Store, channel: &str, recipients: &[&str]) -> (Claimed, Vec<MessageId>) {
    if channel == BOUND {
        store.post(vec![permit("lead", "lead")]).await;
    }
    let messages = ["lead"].iter().chain(recipients).map(|recipient| store.message(channel, recipient)).collect();
    let accepted = store.accept(messages).await;
    let first = store.claim_one(channel).await;
    assert_eq!(first.message, accepted[0]);
    (first, accepted[1..].to_vec())
}

fn seen(is_seen: bool) -> Seen {
    if is_seen { Seen::Whole } else { Seen::TooLate }
}

fn sent(claimed: &Claimed) -> Settle {
    outcome(claimed, State::Sent, CredentialFate::Spend)
}

async fn outcomes_and_the_claims_they_make_room_for_are_one_turn(mut store: Store) -> Seen {
    let (first, others) = begun(&mut store, FREE, &["a", "b", "c", "d"]).await;
    let more = store.claim(FREE, 1).await;
    let mut watch = Watch::over(&store).await;
    let failed = outcome(&more[0], State::Failed, CredentialFate::Drop);
    let claims = vec![store.room(FREE, 2)];
    let committed = store.commit(Batch { settles: vec![sent(&first), failed], claims, ..Batch::default() }).await;
    assert_eq!((committed.settled, ids(&committed.claimed)), (vec![true, true], others[1..3].to_vec()));
    assert!(!committed.more && committed.waiting.is_empty());
    let is_seen = watch.saw(1, 1).await;
    let states = [store.state(first.message).await, store.state(more[0].message).await];
    assert_eq!(states, [State::Sent, State::Failed]);
    let (_, attempts) = store.reader.message(more[0].message).await.unwrap().unwrap();
    assert_eq!(attempts.len(), 1, "what it says is kept");
    let (_, attempts) = store.reader.message(first.message).await.unwrap().unwrap();
    assert!(attempts.is_empty(), "a success at the first try is told by its message");

    // What it claimed is found after a crash, and only that.
    let mut store = store.crash().await;
    let orphans = store.writer.orphans().await.unwrap();
    assert_eq!(orphans.iter().map(|orphan| orphan.message).collect::<Vec<_>>(), others[1..3]);
    seen(is_seen)
}

async fn an_outcome_alone_is_a_turn_and_so_is_a_claim(mut store: Store) -> Seen {
    let (first, others) = begun(&mut store, FREE, &["a"]).await;
    let mut watch = Watch::over(&store).await;
    let claimed = store.claim(FREE, 9).await;
    assert_eq!(ids(&claimed), others);
    assert_eq!((claimed[0].generation, claimed[0].first_try_at, claimed[0].data.as_str()), (1, store.now, "{}"));
    assert_eq!(store.settle(vec![sent(&first), sent(&claimed[0])]).await, [true, true]);
    seen(watch.saw(2, 2).await)
}

async fn each_recipient_goes_with_the_fitting_permit_that_ends_first(mut store: Store) -> Seen {
    let until = |permit: NewCredential, wait| NewCredential { expires_at: Some(NOON.after(wait)), ..permit };
    let scoped = |permit: NewCredential, scope: &str| NewCredential { scope: Some(scope.to_owned()), ..permit };
    let over = NewCredential { expires_at: Some(NOON), ..permit("ann", "over") };
    let other = until(scoped(permit("ann", "other scope"), "scope-shipped"), SECOND);
    let permits = vec![
        NewCredential { expires_at: None, ..permit("ann", "no end") },
        until(permit("ann", "late"), HOUR * 2),
        until(scoped(permit("ann", "early"), "scope-paid"), HOUR),
        over,
        other,
        permit("ben", "ben"),
    ];
    store.post(permits).await;
    let (_, others) = begun(&mut store, BOUND, &["ann", "ben"]).await;
    let mut watch = Watch::over(&store).await;
    let claimed = store.claim(BOUND, 9).await;
    let expected: Vec<_> = others.iter().copied().zip(["early".to_owned(), "ben".to_owned()]).collect();
    assert_eq!(pairs(&claimed), expected);
    let is_seen = watch.saw(1, 1).await;
    let bound = claimed[0].credential.as_ref().unwrap();
    assert_eq!((bound.source.as_str(), bound.expires_at), ("wechat.form_id", Some(NOON.after(HOUR))));
    seen(is_seen)
}

/// A second message of a recipient, one without a permit, and one that kept its own.
async fn what_a_turn_leaves_is_claimed_right_behind_it(mut store: Store) -> Seen {
    let permits =
        ["a", "b"].map(|value| permit("ann", value)).into_iter().chain([permit("ben", "c"), permit("kay", "k")]);
    store.post(permits.collect()).await;
    let (lead, others) = begun(&mut store, BOUND, &["kay", "ann", "ann", "none", "ben"]).await;
    let kept = store.claim_one(BOUND).await;
    let again = outcome(&kept, State::Scheduled, CredentialFate::Keep);
    assert_eq!(store.settle(vec![again]).await, [true]);
    let mut watch = Watch::over(&store).await;
    let claims = vec![store.room(BOUND, 9)];
    let committed = store.commit(Batch { settles: vec![sent(&lead)], claims, ..Batch::default() }).await;
    let mut claimed = pairs(&committed.claimed);
    claimed.sort();
    let [kay, first, second, none, ben] = others[..] else { panic!("{others:?}") };
    let pair = |message, value: &str| (message, value.to_owned());
    assert_eq!(claimed, [pair(kay, "k"), pair(first, "a"), pair(second, "b"), pair(ben, "c")]);
    assert_eq!(committed.waiting.iter().map(|row| row.message).collect::<Vec<_>>(), [none]);
    assert_eq!(committed.settled, [true]);
    seen(watch.saw(1, 1).await)
}

/// The answer to a turn was the only one who knew it once: if it was lost, he waited beside a permit that was his.
async fn a_permit_that_comes_free_wakes_who_waits_in_the_same_transaction(mut store: Store) -> Seen {
    store.post(vec![prepay("ann", "p"), prepay("ben", "q")]).await;
    let (_, others) = begun(&mut store, BOUND, &["ann", "ann", "ben"]).await;
    let first = store.claim(BOUND, 9).await;
    assert_eq!(ids(&first), [others[0], others[2]], "ann's permit is bound to the first");
    assert_eq!(store.state(others[1]).await, State::Waiting);
    let mut watch = Watch::over(&store).await;
    let claims = || vec![store.room(BOUND, 9)];
    let (ann, ben) = (vec![sent(&first[0])], vec![sent(&first[1])]);
    let (with_ben, with_ann) = (
        Batch { settles: ben, claims: claims(), ..Batch::default() },
        Batch { settles: ann, claims: claims(), ..Batch::default() },
    );
    assert!(store.commit(with_ben).await.claimed.is_empty());
    let is_seen = watch.saw(1, 1).await;
    let claimed = store.commit(with_ann).await.claimed;
    assert_eq!(pairs(&claimed), [(others[1], "p".to_owned())]);
    seen(is_seen && watch.saw(1, 0).await)
}

/// It did once: the second message of a recipient waited, with the higher priority, while one behind it went with his permit.
async fn a_lower_priority_takes_no_permit_that_one_before_it_is_left_to(mut store: Store) -> Seen {
    let of = |store: &Store, channel, priority| NewMessage { priority, ..store.message(channel, "ann") };
    let messages = vec![of(&store, BOUND, 0), of(&store, BOUND, 5), of(&store, SISTER, 0), of(&store, SISTER, 0)];
    let leads = ["x", "y", "z"].map(|name| permit(name, name)).to_vec();
    store.post([leads, vec![permit("ann", "a"), permit("ann", "b")]].concat()).await;
    let lead = |channel, name, priority| NewMessage { priority, ..store.message(channel, name) };
    let leads = vec![lead(BOUND, "x", 9), lead(BOUND, "y", 0), lead(SISTER, "z", 9)];
    store.accept(leads).await;
    for (channel, count) in [(BOUND, 2), (SISTER, 1)] {
        assert_eq!(store.claim(channel, 9).await.len(), count);
    }
    let low = store.accept(messages).await;
    let high = store.accept(vec![of(&store, BOUND, 5)]).await;
    let mut watch = Watch::over(&store).await;
    let claims = vec![store.room(BOUND, 9), store.room(SISTER, 9)];
    let committed = store.commit(Batch { claims, ..Batch::default() }).await;
    assert_eq!(pairs(&committed.claimed), [(low[1], "a".to_owned()), (high[0], "b".to_owned())]);
    let mut waiting: Vec<MessageId> = committed.waiting.iter().map(|row| row.message).collect();
    waiting.sort();
    assert_eq!(waiting, [low[0], low[2], low[3]]);
    seen(watch.saw(1, 1).await)
}

async fn a_higher_priority_goes_first_and_takes_the_room_of_a_lower_one(mut store: Store) -> Seen {
    let urgent = |store: &Store| NewMessage { priority: 5, ..store.message(FREE, "u") };
    let (_, low) = begun(&mut store, FREE, &["a", "b", "c"]).await;
    let high = store.accept(vec![urgent(&store), urgent(&store)]).await;
    // The front may have to be looked at again.
    let lead = store.accept_one(FREE, "z").await;
    assert_eq!(ids(&store.claim(FREE, 1).await), high[..1]);
    let mut watch = Watch::over(&store).await;
    assert_eq!(ids(&store.claim(FREE, 2).await), [high[1], low[0]]);
    assert_eq!(ids(&store.claim(FREE, 9).await), [low[1], low[2], lead]);
    seen(watch.saw(2, 2).await)
}

async fn channels_of_one_app_never_share_a_permit(mut store: Store) -> Seen {
    store.post(vec![permit("sis", "s"), permit("ann", "only")]).await;
    let sister = store.message(SISTER, "sis");
    store.accept(vec![sister]).await;
    let (_, others) = begun(&mut store, BOUND, &["ann"]).await;
    let second = store.accept_one(SISTER, "ann").await;
    store.claim_one(SISTER).await;
    let mut watch = Watch::over(&store).await;
    let claims = vec![store.room(BOUND, 9), store.room(SISTER, 9)];
    let committed = store.commit(Batch { claims, ..Batch::default() }).await;
    assert_eq!(pairs(&committed.claimed), [(others[0], "only".to_owned())]);
    assert_eq!(committed.waiting.iter().map(|row| row.message).collect::<Vec<_>>(), [second]);
    seen(watch.saw(1, 1).await)
}

async fn what_kept_its_permit_goes_with_that_and_no_other(mut store: Store) -> Seen {
    store.post(vec![permit("ann", "kept"), permit("ann", "free"), permit("ben", "b")]).await;
    let (_, others) = begun(&mut store, BOUND, &["ann", "ben"]).await;
    let ann = store.claim_one(BOUND).await;
    let mut again = outcome(&ann, State::Scheduled, CredentialFate::Keep);
    again.settlement.due_at = Some(store.now.after(SECOND));
    assert_eq!(store.settle(vec![again]).await, [true]);
    store.pass(SECOND);
    store.commit(Batch::default()).await;
    assert_eq!(store.state(others[0]).await, State::Queued, "it is due, behind the other");
    let mut watch = Watch::over(&store).await;
    let mut claimed = pairs(&store.claim(BOUND, 9).await);
    claimed.sort();
    assert_eq!(claimed, [(others[0], "kept".to_owned()), (others[1], "b".to_owned())]);
    seen(watch.saw(1, 1).await)
}

async fn what_is_tried_again_later_is_due_then(mut store: Store) -> Seen {
    let (first, _) = begun(&mut store, FREE, &[]).await;
    let mut watch = Watch::over(&store).await;
    let mut later = outcome(&first, State::Scheduled, CredentialFate::Spend);
    later.settlement.due_at = Some(store.now.after(HOUR));
    let committed = store.commit(Batch { settles: vec![later], ..Batch::default() }).await;
    assert_eq!(committed.next_due, Some(store.now.after(HOUR)));
    let is_seen = watch.saw(1, 1).await;
    assert_eq!(store.claim(FREE, 9).await.len(), 0);
    store.pass(HOUR);
    assert_eq!(ids(&store.claim(FREE, 9).await), [first.message]);
    seen(is_seen)
}

async fn an_outcome_that_came_too_late_undoes_the_turn_and_all_else_is_done(mut store: Store) -> Seen {
    let (first, others) = begun(&mut store, FREE, &["a", "b"]).await;
    let second = store.claim_one(FREE).await;
    assert_eq!(store.settle(vec![sent(&first)]).await, [true]);
    let mut watch = Watch::over(&store).await;
    let claims = vec![store.room(FREE, 9)];
    let committed =
        store.commit(Batch { settles: vec![sent(&first), sent(&second)], claims, ..Batch::default() }).await;
    assert_eq!((committed.settled, ids(&committed.claimed)), (vec![false, true], others[1..].to_vec()));
    seen(watch.saw(1, 0).await)
}

async fn what_another_engine_paused_is_not_claimed_and_its_outcomes_are_written(mut store: Store) -> Seen {
    let mut other = store.beside().await;
    let (first, others) = begun(&mut store, FREE, &["a"]).await;
    let paused = ChannelState { paused: Some((other.now, "lunch".to_owned())), ..ChannelState::default() };
    let lanes = vec![LaneRow { channel: other.channel(FREE), state: paused }];
    let mut watch = Watch::over(&store).await;
    let paused = Batch { now: other.now, lanes, ..Batch::default() };
    other.writer.commit(&paused).await.unwrap();
    let batch = Batch { now: store.now, settles: vec![sent(&first)], ..claims(&store, FREE, 9) };
    let committed = store.writer.commit(&batch).await.unwrap();
    assert_eq!((committed.settled, committed.claimed.len(), committed.more), (vec![true], 0, false));
    let is_seen = watch.saw(1, 1).await;
    assert_eq!(store.state(others[0]).await, State::Queued);
    seen(is_seen)
}

async fn what_another_engine_sends_takes_the_room(mut store: Store) -> Seen {
    let mut other = store.beside().await;
    let (first, others) = begun(&mut store, FREE, &["a", "b", "c", "d", "e"]).await;
    let at_most = |store: &Store, limit| ClaimRequest { in_flight_max: Some(4), ..store.room(FREE, limit) };
    other.writer.news(other.now, false).await.unwrap();
    let theirs = Batch { now: other.now, claims: vec![at_most(&other, 2)], ..Batch::default() };
    assert_eq!(ids(&other.writer.commit(&theirs).await.unwrap().claimed), others[..2]);
    let mut watch = Watch::over(&store).await;
    // Three are on their way, of which one ends here.
    let claims = vec![at_most(&store, 9)];
    let batch = Batch { now: store.now, settles: vec![sent(&first)], claims, ..Batch::default() };
    assert_eq!(ids(&store.writer.commit(&batch).await.unwrap().claimed), others[2..4]);
    let is_seen = watch.saw(1, 1).await;
    store.check().await;
    seen(is_seen)
}

/// The turn went on behind what it knew of, with the permit that the urgent one was due.
async fn what_another_engine_queues_before_the_rest_gets_its_permit_first(mut store: Store) -> Seen {
    store.post(vec![permit("ann", "only")]).await;
    let mut other = store.beside().await;
    let (_, others) = begun(&mut store, BOUND, &["ann"]).await;
    let urgent = NewMessage { priority: 5, ..other.message(BOUND, "ann") };
    let urgent = commit(&mut other, Batch { messages: vec![urgent], ..Batch::default() }).await.accepted[0];
    store.writer.news(store.now, false).await.unwrap();
    let mut watch = Watch::over(&store).await;
    let mine = claims(&store, BOUND, 9);
    let committed = commit(&mut store, mine).await;
    assert_eq!(pairs(&committed.claimed), [(new_id(urgent), "only".to_owned())]);
    assert_eq!(committed.waiting.iter().map(|row| row.message).collect::<Vec<_>>(), others);
    seen(watch.saw(1, 0).await)
}

/// Its lease ended, and what was to be claimed behind the turn had it join as another: what it had claimed as the first may be
/// somebody else's by then, and would be sent twice.
async fn what_a_turn_claimed_is_handed_out_by_the_node_that_claimed_it(mut store: Store) -> Seen {
    store.post(vec![permit("ann", "a"), permit("ann", "b")]).await;
    let (_, others) = begun(&mut store, BOUND, &["ann", "ann"]).await;
    let mut watch = Watch::over(&store).await;
    run(
        &mut watch.connection,
        "CREATE FUNCTION lapse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN UPDATE node SET lease_until = 0; RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER lapse AFTER UPDATE ON message_hot DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW WHEN (NEW.state = 3) EXECUTE FUNCTION lapse()",
    )
    .await;
    let nodes = "SELECT count(*) FROM node";
    let before: i64 = sqlx::query_scalar(nodes).fetch_one(&mut watch.connection).await.unwrap();
    let batch = Batch { now: store.now, ..claims(&store, BOUND, 9) };
    let committed = store.writer.commit(&batch).await.unwrap();
    let after: i64 = sqlx::query_scalar(nodes).fetch_one(&mut watch.connection).await.unwrap();
    if !watch.saw(1, 1).await {
        return Seen::TooLate;
    }
    assert_eq!((pairs(&committed.claimed), after), (vec![(others[0], "a".to_owned())], before));
    assert!(committed.more, "the rest is for the next one");
    run(&mut watch.connection, "DROP TRIGGER lapse ON message_hot").await;
    assert_eq!(pairs(&store.claim(BOUND, 9).await), [(others[1], "b".to_owned())]);
    Seen::Whole
}

async fn two_whose_turns_wait_for_one_channel_stay_within_its_bound(mut store: Store) -> Seen {
    let mut other = store.beside().await;
    let (first, _) = begun(&mut store, FREE, &["a", "b", "c", "d", "e", "f", "g", "h"]).await;
    other.writer.news(other.now, false).await.unwrap();
    let theirs = claims(&other, FREE, 1);
    assert_eq!(commit(&mut other, theirs).await.claimed.len(), 1, "it knows where the queue goes on");
    let mut watch = Watch::over(&store).await;
    let at_most = |store: &Store| vec![ClaimRequest { in_flight_max: Some(4), ..store.room(FREE, 9) }];
    let mine = Batch { settles: vec![sent(&first)], claims: at_most(&store), ..Batch::default() };
    let theirs = Batch { claims: at_most(&other), ..Batch::default() };
    let mut third = store.home.connect().await;
    let mut looks = store.home.connect().await;
    run(&mut third, "BEGIN; SELECT FROM channel FOR UPDATE").await;
    let (mine, theirs, ()) = tokio::join!(commit(&mut store, mine), commit(&mut other, theirs), async {
        until_waiting(&mut looks, 2).await;
        run(&mut third, "COMMIT").await;
    });
    // Of the five that are on their way or were one ended, and one is another's.
    assert_eq!(mine.claimed.len() + theirs.claimed.len(), 3);
    store.check().await;
    seen(watch.saw(2, 2).await)
}

/// What a turn claimed is on its way, whatever comes of what is done behind it.
async fn what_cannot_be_claimed_behind_a_turn_takes_nothing_of_it_back(mut store: Store) -> Seen {
    store.post(vec![permit("ann", "a")]).await;
    let (_, others) = begun(&mut store, BOUND, &["ann", "none"]).await;
    let mut watch = Watch::over(&store).await;
    run(
        &mut watch.connection,
        "CREATE FUNCTION stay() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'nobody waits'; END $$;
         CREATE TRIGGER stay BEFORE UPDATE ON message_hot FOR EACH ROW WHEN (NEW.state = 2) EXECUTE FUNCTION stay()",
    )
    .await;
    let batch = Batch { now: store.now, ..claims(&store, BOUND, 9) };
    let Ok(committed) = store.writer.commit(&batch).await else { return Seen::TooLate };
    assert_eq!(pairs(&committed.claimed), [(others[0], "a".to_owned())]);
    assert!(committed.more && committed.waiting.is_empty());
    let is_seen = watch.saw(1, 1).await;
    run(&mut watch.connection, "DROP TRIGGER stay ON message_hot").await;
    let next = store.commit(claims(&store, BOUND, 9)).await;
    assert_eq!((next.claimed.len(), next.waiting.len()), (0, 1));
    assert_eq!(store.settle(vec![sent(&committed.claimed[0])]).await, [true], "it was not undone");
    seen(is_seen)
}

async fn a_permit_that_another_has_locked_is_not_waited_for(mut store: Store) -> Seen {
    store.post(vec![permit("ann", "a"), permit("ben", "b")]).await;
    let (_, others) = begun(&mut store, BOUND, &["ann", "ben"]).await;
    let mut third = store.home.connect().await;
    run(&mut third, "BEGIN; SELECT FROM credential WHERE recipient = 'ann' FOR UPDATE").await;
    let mut watch = Watch::over(&store).await;
    let claimed = tokio::time::timeout(SOON, store.claim(BOUND, 9)).await.expect("nobody is waited for");
    assert_eq!(pairs(&claimed), [(others[1], "b".to_owned())]);
    assert_eq!(store.state(others[0]).await, State::Queued, "it is looked at again");
    let is_seen = watch.saw(1, 1).await;
    run(&mut third, "ROLLBACK").await;
    assert_eq!(pairs(&store.claim(BOUND, 9).await), [(others[0], "a".to_owned())]);
    seen(is_seen)
}

async fn a_lease_that_is_over_undoes_the_turn_and_what_follows_is_claimed_by_another_node(mut store: Store) -> Seen {
    let (_, others) = begun(&mut store, FREE, &["a"]).await;
    let mut watch = Watch::over(&store).await;
    let node: i64 = sqlx::query_scalar("SELECT max(id) FROM node").fetch_one(&mut watch.connection).await.unwrap();
    run(&mut watch.connection, "UPDATE node SET lease_until = 0").await;
    assert_eq!(ids(&store.claim(FREE, 9).await), others);
    let is_seen = watch.saw(1, 0).await;
    let claimed_by: i64 = sqlx::query_scalar("SELECT node_id FROM message WHERE id = $1")
        .bind(others[0].0)
        .fetch_one(&mut watch.connection)
        .await
        .unwrap();
    assert!(claimed_by > node, "{claimed_by} is another than {node}");
    seen(is_seen)
}

async fn what_a_webhook_is_told_of_is_no_turn(mut store: Store) -> Seen {
    let (first, _) = begun(&mut store, FREE, &[]).await;
    let mut watch = Watch::over(&store).await;
    let webhook = WebhookName::new("crm").unwrap();
    let batch = Batch { now: store.now, settles: vec![sent(&first)], ..Batch::default() };
    let told = store.writer.commit_and_tell(&batch, |committed| {
        let notice = |_: &bool| NewNotice { webhook: webhook.clone(), event: "message.sent", data: "{}".to_owned() };
        committed.settled.iter().filter(|applied| **applied).map(notice).collect()
    });
    assert_eq!(told.await.unwrap().backlogs[&webhook].new, 1);
    seen(watch.saw(0, 0).await)
}

async fn a_channel_with_a_rate_goes_step_by_step(mut store: Store) -> Seen {
    let (_, others) = begun(&mut store, FREE, &["a", "b", "c"]).await;
    let mut watch = Watch::over(&store).await;
    let rate = Some((Rate { count: 20, period: SECOND }, Arrival(0)));
    let claims = vec![ClaimRequest { rate, ..store.room(FREE, 9) }];
    let committed = store.commit(Batch { claims, ..Batch::default() }).await;
    assert_eq!(
        (ids(&committed.claimed), committed.arrivals.len()),
        (others[..2].to_vec(), 1),
        "a tenth of a second's worth"
    );
    seen(watch.saw(0, 0).await)
}

/// With what it saw before it waited for a channel it would claim beyond its bound.
#[tokio::test]
async fn a_turn_sees_what_it_waited_for_whatever_the_database_isolates_by() {
    for _ in 0..PLAYS_MAX {
        let home = Home::postgres();
        let isolate = "DO $$ BEGIN
            EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable', current_database());
        END $$";
        run(&mut home.connect().await, isolate).await;
        if an_outcome_alone_is_a_turn_and_so_is_a_claim(Store::new(home).await).await == Seen::Whole {
            return;
        }
    }
    panic!("no turn was taken");
}

/// Nobody was told what it claimed, and so nothing of that was sent. Its outcome stands, once.
#[tokio::test]
async fn the_claims_of_a_turn_that_nobody_heard_of_are_undone() {
    let mut store = Store::new(Home::postgres_alone()).await;
    let mut third = store.home.connect().await;
    store.post(vec![permit("ann", "a")]).await;
    let (first, others) = begun(&mut store, BOUND, &["ann"]).await;
    begin_to_lose_answers(&store.home, &mut third).await;
    let batch = Batch { now: store.now, settles: vec![sent(&first)], ..claims(&store, BOUND, 9) };
    let (failed, ()) = tokio::join!(store.writer.commit(&batch), lose_one_answer(&mut third));
    assert!(failed.as_ref().is_err_and(StoreError::is_away), "{failed:?}");
    assert_eq!(store.state(others[0]).await, State::Sending, "it landed");
    let committed = store.commit(batch).await;
    assert_eq!(committed.settled, [false], "it is written already");
    assert_eq!(pairs(&committed.claimed), [(others[0], "a".to_owned())]);
    assert_eq!(committed.claimed[0].generation, 3, "claimed, undone, claimed");
    assert!(!committed.claimed[0].ambiguous);
    assert_eq!(store.state(first.message).await, State::Sent);
}
