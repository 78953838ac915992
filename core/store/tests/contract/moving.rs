//! From a file into a database.

use tidings_model::{CredentialFate, Event, State};
use tidings_store::{Batch, NewMessage, StoreError, Sweep};

use crate::harness::{BOUND, DAY, FREE, HOUR, Home, Store, act, key, outcome, permit, prepay};

for_every_file! {
    a_whole_store_moves_and_goes_on,
    a_database_that_has_something_in_it_is_refused,
    a_move_that_was_broken_off_is_begun_again_and_no_engine_opens_what_it_left,
}

/// Messages of every kind of end, permits, keys and what operators did.
async fn fill(store: &mut Store) {
    store.post(vec![permit("ann", "a"), prepay("ann", "p"), permit("ben", "b")]).await;
    for state in [State::Sent, State::Failed, State::Unknown, State::Expired] {
        store.ended(state).await;
    }
    store.pass(HOUR * 3);
    let again = store.ended(State::Failed).await;
    store.commit(Batch { operations: vec![act(Event::Retry, again)], ..Batch::default() }).await;
    let keyed = NewMessage { key: key("k"), ..store.message(BOUND, "ann") };
    let later = NewMessage { send_at: Some(store.now.after(HOUR)), ..store.message(FREE, "cho") };
    store.accept(vec![keyed, later, store.message(BOUND, "nobody")]).await;
    let claimed = store.claim(BOUND, 9).await;
    assert_eq!(claimed.len(), 1);
    store.settle(vec![outcome(&claimed[0], State::Scheduled, CredentialFate::Keep)]).await;
    store.claim_one(FREE).await;
}

async fn a_whole_store_moves_and_goes_on(mut store: Store) {
    fill(&mut store).await;
    let before =
        (store.messages(&Default::default()).await, store.credentials().await, store.writer.instance().to_owned());
    let now = store.now;
    let from = store.home.url();
    let locked = tidings_store::migrate(&from, &Home::postgres().url(), |_| {}).await;
    assert!(matches!(locked, Err(StoreError::Locked { .. })), "an engine has it: {locked:?}");
    let file = store.close().await;
    let home = Home::postgres();
    let mut told = Vec::new();
    let moved = tidings_store::migrate(&from, &home.url(), |progress| told.push(progress)).await.unwrap();
    drop(file);
    let of = |name| moved.iter().find(|table| table.table == name).unwrap().rows;
    assert_eq!((of("message"), of("credential"), of("idempotency")), (8, 3, 1));
    let last = told.last().unwrap();
    assert_eq!((last.done, last.total), (last.total, moved.iter().map(|table| table.rows).sum::<u64>() * 2));

    let mut store = Store::new(home).await;
    store.now = now;
    let after =
        (store.messages(&Default::default()).await, store.credentials().await, store.writer.instance().to_owned());
    assert_eq!(after, before);
    store.check().await;
    // What was on its way is settled, what is new gets an id behind all others, and a key stays taken.
    assert_eq!(store.writer.orphans().await.unwrap().len(), 1);
    let last = before.0[0].id;
    assert!(store.accept_one(FREE, "dan").await > last);
    let taken = NewMessage { key: key("k"), ..store.message(BOUND, "ann") };
    let repeat = store.commit(Batch { messages: vec![taken], ..Batch::default() }).await.accepted;
    assert!(matches!(repeat[0], tidings_store::Accepted::Repeat(_)));
    // History that came with it leaves as other history does.
    store.pass(DAY * 30);
    let sweep = Sweep::Ended { after: 0, states: vec![State::Sent], before: store.now };
    assert_eq!(store.commit(Batch { sweeps: vec![sweep], ..Batch::default() }).await.swept[0].removed, 1);
}

async fn a_database_that_has_something_in_it_is_refused(store: Store) {
    let from = store.home.url();
    let file = store.close().await;
    let taken = Store::new(Home::postgres()).await;
    let refused = tidings_store::migrate(&from, &taken.home.url(), |_| {}).await;
    assert!(matches!(refused, Err(StoreError::NotEmpty { .. })), "{refused:?}");
    let nowhere = tidings_store::migrate("sqlite:///nowhere/at/all.db", &taken.home.url(), |_| {}).await;
    assert!(matches!(nowhere, Err(StoreError::File { .. })), "{nowhere:?}");
    let other_way = tidings_store::migrate(&taken.home.url(), &from, |_| {}).await;
    assert!(matches!(other_way, Err(StoreError::Address { .. })), "{other_way:?}");
    drop(file);
}

async fn a_move_that_was_broken_off_is_begun_again_and_no_engine_opens_what_it_left(mut store: Store) {
    fill(&mut store).await;
    let messages = (0..2500).map(|_| store.message(FREE, "ann")).collect();
    store.accept(messages).await;
    let from = store.home.url();
    let file = store.close().await;
    let home = Home::postgres();
    let url = home.url();
    // Broken off in the middle of the messages.
    let (broken, source) = (url.clone(), from.clone());
    let task = tokio::spawn(async move {
        let broken_off = |progress: tidings_store::Progress| assert!(progress.table != "message", "broken off");
        tidings_store::migrate(&source, &broken, broken_off).await
    });
    assert!(task.await.is_err(), "it was broken off");
    let refused = home.open().await;
    assert!(matches!(refused, Err(StoreError::Incomplete { .. })), "it is no store yet");
    let moved = tidings_store::migrate(&from, &url, |_| {}).await.unwrap();
    assert_eq!(moved.iter().find(|table| table.table == "message").unwrap().rows, 2508);
    Store::new(home).await.check().await;
    drop(file);
}
