//! Recipients who are told nothing.

use tidings_model::{AppName, CredentialFate, Event, MessageId, Recipient, State, Timestamp};
use tidings_store::{
    Accepted, Batch, NewMessage, Operation, SuppressionChange, SuppressionFilter, SuppressionRow, Sweep,
};

use crate::harness::{BOUND, FREE, HOUR, NOON, Store, act, ids, key, new_id, outcome, permit, shop};

for_every_store! {
    a_message_to_a_suppressed_recipient_is_not_accepted_and_its_key_stays_free,
    a_suppression_is_of_one_app_and_one_recipient,
    a_suppression_counts_from_the_commit_that_brings_it_and_after_a_restart,
    a_suppression_ends_and_leaves,
    suppressions_are_listed_in_order_by_pages,
    a_message_that_is_cancelled_for_it_says_so,
    what_was_on_its_way_is_cancelled_where_it_would_be_tried_again,
    what_an_operator_retries_or_releases_is_cancelled_where_it_would_be_claimed,
    a_suppression_counts_for_the_claims_of_the_commit_that_brings_it_and_no_longer_than_it_lasts,
    those_behind_a_suppressed_recipient_are_claimed_and_no_permit_is_taken_for_it,
    a_permit_that_was_kept_for_a_message_that_is_cancelled_for_it_is_spent,
}

fn add(recipient: &str, expires_at: Option<Timestamp>) -> SuppressionChange {
    SuppressionChange::Add {
        app: shop(),
        recipient: Recipient::new(recipient).unwrap(),
        reason: "asked for it".to_owned(),
        who: "ops".to_owned(),
        expires_at,
    }
}

async fn change(store: &mut Store, change: SuppressionChange) {
    store.commit(Batch { suppressions: vec![change], ..Batch::default() }).await;
}

async fn send(store: &mut Store, recipients: &[&str]) -> Vec<Accepted> {
    let messages = recipients.iter().map(|name| store.message(FREE, name)).collect();
    store.commit(Batch { messages, ..Batch::default() }).await.accepted
}

async fn all(store: &Store) -> Vec<SuppressionRow> {
    let filter = SuppressionFilter { limit: 99, ..SuppressionFilter::default() };
    store.reader.suppressions(&filter, store.now).await.unwrap().0
}

async fn a_message_to_a_suppressed_recipient_is_not_accepted_and_its_key_stays_free(mut store: Store) {
    change(&mut store, add("ann", None)).await;
    let keyed = |store: &Store, name: &str| NewMessage { key: key("k"), ..store.message(FREE, name) };
    let messages = vec![keyed(&store, "ann"), store.message(FREE, "ben"), keyed(&store, "ann"), keyed(&store, "ben")];
    let accepted = store.commit(Batch { messages, ..Batch::default() }).await.accepted;
    assert_eq!((accepted[0], accepted[2]), (Accepted::Suppressed(None), Accepted::Suppressed(None)));
    let kept = [new_id(accepted[1]), new_id(accepted[3])];
    let seen: Vec<_> = store.messages(&Default::default()).await.into_iter().rev().map(|row| row.id).collect();
    assert_eq!(seen, kept);
    // What was accepted before is told, whoever is suppressed since.
    change(&mut store, add("ben", None)).await;
    let repeat = keyed(&store, "ben");
    let accepted = store.commit(Batch { messages: vec![repeat], ..Batch::default() }).await.accepted;
    assert_eq!(accepted, [Accepted::Repeat(kept[1])]);
}

async fn a_suppression_is_of_one_app_and_one_recipient(mut store: Store) {
    let elsewhere = AppName::new("elsewhere").unwrap();
    let SuppressionChange::Add { recipient, reason, who, expires_at, .. } = add("ann", None) else { unreachable!() };
    change(&mut store, SuppressionChange::Add { app: elsewhere, recipient, reason, who, expires_at }).await;
    change(&mut store, add("ben", None)).await;
    let accepted = send(&mut store, &["ann", "ben"]).await;
    assert!(matches!(accepted[..], [Accepted::New(_), Accepted::Suppressed(None)]), "{accepted:?}");
    let recipient = Recipient::new("ben").unwrap();
    change(&mut store, SuppressionChange::Remove { app: shop(), recipient }).await;
    assert!(matches!(send(&mut store, &["ben"]).await[..], [Accepted::New(_)]));
}

async fn a_suppression_counts_from_the_commit_that_brings_it_and_after_a_restart(mut store: Store) {
    let messages = vec![store.message(FREE, "ann")];
    let batch = Batch { suppressions: vec![add("ann", None)], messages, ..Batch::default() };
    assert_eq!(store.commit(batch).await.accepted, [Accepted::Suppressed(None)]);
    let mut store = Store::new(store.close().await).await;
    assert_eq!(send(&mut store, &["ann"]).await, [Accepted::Suppressed(None)]);
}

async fn a_suppression_ends_and_leaves(mut store: Store) {
    let end = Some(NOON.after(HOUR));
    change(&mut store, add("ann", end)).await;
    change(&mut store, add("ben", None)).await;
    assert_eq!(send(&mut store, &["ann"]).await, [Accepted::Suppressed(end)]);
    store.pass(HOUR);
    assert!(matches!(send(&mut store, &["ann"]).await[..], [Accepted::New(_)]));
    assert_eq!(all(&store).await.len(), 1, "what is over is not shown");
    let sweeps = vec![Sweep::Audit { after: 0, before: NOON }];
    store.commit(Batch { sweeps, ..Batch::default() }).await;
    // Nor is it there when the clock is set back.
    store.now = NOON;
    assert_eq!(all(&store).await.iter().map(|row| row.recipient.as_str()).collect::<Vec<_>>(), ["ben"]);
}

async fn suppressions_are_listed_in_order_by_pages(mut store: Store) {
    for name in ["cho", "ann", "ben"] {
        change(&mut store, add(name, None)).await;
    }
    // The same once more is the same, for another reason.
    change(&mut store, add("ann", Some(NOON.after(HOUR)))).await;
    for limit in 1..5 {
        let (mut seen, mut filter) = (Vec::new(), SuppressionFilter { limit, ..SuppressionFilter::default() });
        loop {
            let (rows, next) = store.reader.suppressions(&filter, store.now).await.unwrap();
            seen.extend(rows.into_iter().map(|row| row.recipient));
            filter.after = next;
            if filter.after.is_none() {
                break;
            }
        }
        assert_eq!(seen, ["ann", "ben", "cho"], "pages of {limit}");
    }
    let ann = store.reader.suppression(&shop(), &Recipient::new("ann").unwrap(), store.now).await.unwrap().unwrap();
    assert_eq!(
        (ann.reason.as_str(), ann.who.as_str(), ann.expires_at),
        ("asked for it", "ops", Some(NOON.after(HOUR)))
    );
}

async fn a_message_that_is_cancelled_for_it_says_so(mut store: Store) {
    let id = store.accept_one(FREE, "ann").await;
    let other = store.accept_one(FREE, "ben").await;
    let operations =
        vec![Operation { reason: Some("suppressed"), ..act(Event::Cancel, id) }, act(Event::Cancel, other)];
    store.commit(Batch { operations, ..Batch::default() }).await;
    assert_eq!(store.message_row(id).await.reason.as_deref(), Some("suppressed"));
    assert_eq!(store.message_row(other).await.reason.as_deref(), Some("cancelled"));
}

/// Where it stands, and the word for why.
async fn stands(store: &Store, id: MessageId) -> (State, Option<String>) {
    let row = store.message_row(id).await;
    (row.state, row.reason)
}

fn withdrawn() -> (State, Option<String>) {
    (State::Cancelled, Some("suppressed".to_owned()))
}

async fn what_was_on_its_way_is_cancelled_where_it_would_be_tried_again(mut store: Store) {
    let id = store.accept_one(FREE, "ann").await;
    let claimed = store.claim_one(FREE).await;
    change(&mut store, add("ann", Some(NOON.after(HOUR)))).await;
    assert_eq!(store.state(id).await, State::Sending, "what is on its way goes on");
    assert_eq!(store.settle(vec![outcome(&claimed, State::Scheduled, CredentialFate::GiveBack)]).await, [true]);
    let claims = vec![store.room(FREE, 9)];
    let committed = store.commit(Batch { claims, ..Batch::default() }).await;
    assert!(committed.claimed.is_empty(), "{:?}", committed.claimed);
    assert_eq!(stands(&store, id).await, withdrawn());
    let row = store.message_row(id).await;
    assert_eq!((row.finished_at, row.attempts), (Some(NOON), 1));
    assert!(row.detail.is_some_and(|detail| detail.contains("suppressed until")));
    let moved = &committed.moved[..];
    assert!(
        matches!(moved, [told] if (told.message, told.event, told.to, told.reason) == (id, Event::Cancel, State::Cancelled, Some("suppressed"))),
        "who reads along is told: {moved:?}"
    );
    // And the attempt that was cancelled under it settles nothing more.
    assert_eq!(store.settle(vec![outcome(&claimed, State::Sent, CredentialFate::Spend)]).await, [false]);
}

async fn what_an_operator_retries_or_releases_is_cancelled_where_it_would_be_claimed(mut store: Store) {
    let (failed, held) = (store.ended(State::Failed).await, store.accept_one(FREE, "ann").await);
    store.commit(Batch { operations: vec![act(Event::Hold, held)], ..Batch::default() }).await;
    change(&mut store, add("ann", None)).await;
    let operations = vec![act(Event::Retry, failed), act(Event::Release, held)];
    let claims = vec![store.room(FREE, 9)];
    let committed = store.commit(Batch { operations, claims, ..Batch::default() }).await;
    assert!(committed.claimed.is_empty(), "{:?}", committed.claimed);
    assert_eq!((stands(&store, failed).await, stands(&store, held).await), (withdrawn(), withdrawn()));
}

async fn a_suppression_counts_for_the_claims_of_the_commit_that_brings_it_and_no_longer_than_it_lasts(
    mut store: Store,
) {
    let ann = store.accept_one(FREE, "ann").await;
    let suppressions = vec![add("ann", Some(NOON.after(HOUR)))];
    let claims = vec![store.room(FREE, 9)];
    let committed = store.commit(Batch { suppressions, claims, ..Batch::default() }).await;
    assert_eq!((committed.claimed.len(), stands(&store, ann).await), (0, withdrawn()));
    // The list is read again by whoever takes the store over.
    store = Store::new(store.close().await).await;
    store.commit(Batch { operations: vec![act(Event::Retry, ann)], ..Batch::default() }).await;
    assert_eq!((store.claim(FREE, 9).await.len(), stands(&store, ann).await), (0, withdrawn()));
    store.pass(HOUR);
    store.commit(Batch { operations: vec![act(Event::Retry, ann)], ..Batch::default() }).await;
    assert_eq!(ids(&store.claim(FREE, 9).await), [ann], "its time is over");
}

async fn those_behind_a_suppressed_recipient_are_claimed_and_no_permit_is_taken_for_it(mut store: Store) {
    let ann = store.accept_one(BOUND, "ann").await;
    let ben = store.accept_one(BOUND, "ben").await;
    store.post(vec![permit("ann", "a"), permit("ben", "b")]).await;
    let suppressions = vec![add("ann", None)];
    let claims = vec![store.room(BOUND, 1)];
    let committed = store.commit(Batch { suppressions, claims, ..Batch::default() }).await;
    assert!(committed.claimed.is_empty() && committed.more, "there are others behind it: it is asked again at once");
    assert_eq!(ids(&store.claim(BOUND, 1).await), [ben]);
    assert_eq!(stands(&store, ann).await, withdrawn());
    assert_eq!(store.ledger().await, [(1, None), (1, Some(ben))], "hers is as it was");
}

async fn a_permit_that_was_kept_for_a_message_that_is_cancelled_for_it_is_spent(mut store: Store) {
    let ann = store.accept_one(BOUND, "ann").await;
    store.post(vec![permit("ann", "a")]).await;
    let claimed = store.claim_one(BOUND).await;
    store.settle(vec![outcome(&claimed, State::Scheduled, CredentialFate::Keep)]).await;
    change(&mut store, add("ann", None)).await;
    assert!(store.claim(BOUND, 1).await.is_empty());
    assert_eq!(stands(&store, ann).await, withdrawn());
    assert_eq!(store.ledger().await, [(0, None)], "it may have been used, and goes to nobody else");
}
