//! Outcomes and claims alone are one turn of the queue, and one round trip. What holds of a transaction that goes step by step
//! holds of it, and whatever it does not do is done right behind it.

use sqlx::PgConnection;
use tidings_model::rate::{Arrival, Rate};
use tidings_model::{CredentialFate, MessageId, State, WebhookName};
use tidings_store::{
    Batch, ChannelState, ClaimRequest, Claimed, LaneRow, NewCredential, NewMessage, NewNotice, Settle, StoreError,
};

use crate::harness::{BOUND, FREE, HOUR, Home, NOON, SECOND, SISTER, Store, ids, outcome, pairs, permit, prepay};
use crate::nodes::{SOON, begin_to_lose_answers, claims, lose_one_answer, run};

for_every_server! {
    outcomes_and_the_claims_they_make_room_for_are_one_turn,
    an_outcome_alone_is_a_turn_and_so_is_a_claim,
    each_recipient_goes_with_the_fitting_permit_that_ends_first,
    what_a_turn_leaves_is_claimed_right_behind_it,
    what_is_left_of_a_permit_wakes_who_waits_right_behind_the_turn,
    a_higher_priority_goes_first_and_takes_the_room_of_a_lower_one,
    channels_of_one_app_never_share_a_permit,
    what_is_tried_again_later_is_due_then,
    an_outcome_that_came_too_late_undoes_the_turn_and_all_else_is_done,
    what_another_engine_paused_is_not_claimed_and_its_outcomes_are_written,
    what_another_engine_sends_takes_the_room,
    a_permit_that_another_has_locked_is_not_waited_for,
    a_lease_that_is_over_undoes_the_turn_and_what_follows_is_claimed_by_another_node,
    what_a_webhook_is_told_of_is_no_turn,
    a_channel_with_a_rate_goes_step_by_step,
}

/// Counts the turns that are tried.
struct Watch {
    connection: PgConnection,
    seen: i64,
}

impl Watch {
    async fn over(store: &Store) -> Watch {
        let mut connection = store.home.connect().await;
        run(
            &mut connection,
            "ALTER FUNCTION tidings_turn RENAME TO the_turn;
             CREATE SEQUENCE turns;
             CREATE FUNCTION tidings_turn(
                 bigint[], bigint[], bigint[], bigint[], bigint[], bigint[], bigint[], bigint[], text[], text[], text[],
                 bigint[], bigint[], bigint[], text[], jsonb, jsonb, bigint, bigint, bigint,
                 OUT freed text, OUT ahead bigint, OUT rooms text, OUT taken text, OUT bound text, OUT passed text)
             LANGUAGE plpgsql AS $$
             BEGIN
                 PERFORM nextval('turns');
                 SELECT t.* INTO freed, ahead, rooms, taken, bound, passed
                 FROM the_turn($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) AS t;
             END $$",
        )
        .await;
        Watch { connection, seen: 0 }
    }

    /// How many were tried since it was asked last.
    async fn turns(&mut self) -> i64 {
        let all = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM turns";
        let all: i64 = sqlx::query_scalar(all).fetch_one(&mut self.connection).await.unwrap();
        all - std::mem::replace(&mut self.seen, all)
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

fn sent(claimed: &Claimed) -> Settle {
    outcome(claimed, State::Sent, CredentialFate::Spend)
}

async fn outcomes_and_the_claims_they_make_room_for_are_one_turn(mut store: Store) {
    let (first, others) = begun(&mut store, FREE, &["a", "b", "c", "d"]).await;
    let more = store.claim(FREE, 1).await;
    let mut watch = Watch::over(&store).await;
    let failed = outcome(&more[0], State::Failed, CredentialFate::Drop);
    let claims = vec![store.room(FREE, 2)];
    let committed = store.commit(Batch { settles: vec![sent(&first), failed], claims, ..Batch::default() }).await;
    assert_eq!((committed.settled, ids(&committed.claimed)), (vec![true, true], others[1..3].to_vec()));
    assert!(!committed.more && committed.waiting.is_empty());
    assert_eq!(watch.turns().await, 1);
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
}

async fn an_outcome_alone_is_a_turn_and_so_is_a_claim(mut store: Store) {
    let (first, others) = begun(&mut store, FREE, &["a"]).await;
    let mut watch = Watch::over(&store).await;
    let claimed = store.claim(FREE, 9).await;
    assert_eq!(ids(&claimed), others);
    assert_eq!((claimed[0].generation, claimed[0].first_try_at, claimed[0].data.as_str()), (1, store.now, "{}"));
    assert_eq!(store.settle(vec![sent(&first), sent(&claimed[0])]).await, [true, true]);
    assert_eq!(watch.turns().await, 2);
}

async fn each_recipient_goes_with_the_fitting_permit_that_ends_first(mut store: Store) {
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
    assert_eq!(watch.turns().await, 1);
    let bound = claimed[0].credential.as_ref().unwrap();
    assert_eq!((bound.source.as_str(), bound.expires_at), ("wechat.form_id", Some(NOON.after(HOUR))));
}

/// A second message of a recipient, one without a permit, and one that kept its own.
async fn what_a_turn_leaves_is_claimed_right_behind_it(mut store: Store) {
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
    assert_eq!((committed.settled, watch.turns().await), (vec![true], 1));
}

async fn what_is_left_of_a_permit_wakes_who_waits_right_behind_the_turn(mut store: Store) {
    store.post(vec![prepay("ann", "p")]).await;
    let (_, others) = begun(&mut store, BOUND, &["ann", "ann"]).await;
    let claimed = store.claim(BOUND, 9).await;
    assert_eq!(ids(&claimed), others[..1], "the permit is bound to the first");
    assert_eq!(store.state(others[1]).await, State::Waiting);
    let mut watch = Watch::over(&store).await;
    let claims = vec![store.room(BOUND, 9)];
    let committed = store.commit(Batch { settles: vec![sent(&claimed[0])], claims, ..Batch::default() }).await;
    assert_eq!(watch.turns().await, 1, "it was settled by a turn");
    assert_eq!(pairs(&committed.claimed), [(others[1], "p".to_owned())]);
}

async fn a_higher_priority_goes_first_and_takes_the_room_of_a_lower_one(mut store: Store) {
    let urgent = |store: &Store| NewMessage { priority: 5, ..store.message(FREE, "u") };
    let (_, low) = begun(&mut store, FREE, &["a", "b", "c"]).await;
    let high = store.accept(vec![urgent(&store), urgent(&store)]).await;
    // The front may have to be looked at again.
    let lead = store.accept_one(FREE, "z").await;
    assert_eq!(ids(&store.claim(FREE, 1).await), high[..1]);
    let mut watch = Watch::over(&store).await;
    assert_eq!(ids(&store.claim(FREE, 2).await), [high[1], low[0]]);
    assert_eq!(ids(&store.claim(FREE, 9).await), [low[1], low[2], lead]);
    assert_eq!(watch.turns().await, 2);
}

async fn channels_of_one_app_never_share_a_permit(mut store: Store) {
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
    assert_eq!(watch.turns().await, 1);
}

async fn what_is_tried_again_later_is_due_then(mut store: Store) {
    let (first, _) = begun(&mut store, FREE, &[]).await;
    let mut watch = Watch::over(&store).await;
    let mut later = outcome(&first, State::Scheduled, CredentialFate::Spend);
    later.settlement.due_at = Some(store.now.after(HOUR));
    let committed = store.commit(Batch { settles: vec![later], ..Batch::default() }).await;
    assert_eq!((committed.next_due, watch.turns().await), (Some(store.now.after(HOUR)), 1));
    assert_eq!(store.claim(FREE, 9).await.len(), 0);
    store.pass(HOUR);
    assert_eq!(ids(&store.claim(FREE, 9).await), [first.message]);
}

async fn an_outcome_that_came_too_late_undoes_the_turn_and_all_else_is_done(mut store: Store) {
    let (first, others) = begun(&mut store, FREE, &["a", "b"]).await;
    let second = store.claim_one(FREE).await;
    assert_eq!(store.settle(vec![sent(&first)]).await, [true]);
    let mut watch = Watch::over(&store).await;
    let claims = vec![store.room(FREE, 9)];
    let committed =
        store.commit(Batch { settles: vec![sent(&first), sent(&second)], claims, ..Batch::default() }).await;
    assert_eq!((committed.settled, ids(&committed.claimed)), (vec![false, true], others[1..].to_vec()));
    assert_eq!(watch.turns().await, 1, "it was tried");
}

async fn what_another_engine_paused_is_not_claimed_and_its_outcomes_are_written(mut store: Store) {
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
    assert_eq!(watch.turns().await, 1);
    assert_eq!(store.state(others[0]).await, State::Queued);
}

async fn what_another_engine_sends_takes_the_room(mut store: Store) {
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
    assert_eq!(watch.turns().await, 1);
    store.check().await;
}

async fn a_permit_that_another_has_locked_is_not_waited_for(mut store: Store) {
    store.post(vec![permit("ann", "a"), permit("ben", "b")]).await;
    let (_, others) = begun(&mut store, BOUND, &["ann", "ben"]).await;
    let mut third = store.home.connect().await;
    run(&mut third, "BEGIN; SELECT FROM credential WHERE recipient = 'ann' FOR UPDATE").await;
    let mut watch = Watch::over(&store).await;
    let claimed = tokio::time::timeout(SOON, store.claim(BOUND, 9)).await.expect("nobody is waited for");
    assert_eq!(pairs(&claimed), [(others[1], "b".to_owned())]);
    assert_eq!(store.state(others[0]).await, State::Queued, "it is looked at again");
    assert_eq!(watch.turns().await, 1);
    run(&mut third, "ROLLBACK").await;
    assert_eq!(pairs(&store.claim(BOUND, 9).await), [(others[0], "a".to_owned())]);
}

async fn a_lease_that_is_over_undoes_the_turn_and_what_follows_is_claimed_by_another_node(mut store: Store) {
    let (_, others) = begun(&mut store, FREE, &["a"]).await;
    let mut watch = Watch::over(&store).await;
    let node: i64 = sqlx::query_scalar("SELECT max(id) FROM node").fetch_one(&mut watch.connection).await.unwrap();
    run(&mut watch.connection, "UPDATE node SET lease_until = 0").await;
    assert_eq!(ids(&store.claim(FREE, 9).await), others);
    assert_eq!(watch.turns().await, 1, "it was tried");
    let claimed_by: i64 = sqlx::query_scalar("SELECT node_id FROM message WHERE id = $1")
        .bind(others[0].0)
        .fetch_one(&mut watch.connection)
        .await
        .unwrap();
    assert!(claimed_by > node, "{claimed_by} is another than {node}");
}

async fn what_a_webhook_is_told_of_is_no_turn(mut store: Store) {
    let (first, _) = begun(&mut store, FREE, &[]).await;
    let mut watch = Watch::over(&store).await;
    let webhook = WebhookName::new("crm").unwrap();
    let batch = Batch { now: store.now, settles: vec![sent(&first)], ..Batch::default() };
    let told = store.writer.commit_and_tell(&batch, |committed| {
        let notice = |_: &bool| NewNotice { webhook: webhook.clone(), event: "message.sent", data: "{}".to_owned() };
        committed.settled.iter().filter(|applied| **applied).map(notice).collect()
    });
    assert_eq!(told.await.unwrap().backlogs[&webhook].new, 1);
    assert_eq!(watch.turns().await, 0);
}

async fn a_channel_with_a_rate_goes_step_by_step(mut store: Store) {
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
    assert_eq!(watch.turns().await, 0);
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
