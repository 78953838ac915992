//! Recipients who are told nothing.

use tidings_model::{AppName, Event, Recipient, Timestamp};
use tidings_store::{
    Accepted, Batch, NewMessage, Operation, SuppressionChange, SuppressionFilter, SuppressionRow, Sweep,
};

use crate::harness::{FREE, HOUR, NOON, Store, act, key, new_id, shop};

for_every_store! {
    a_message_to_a_suppressed_recipient_is_not_accepted_and_its_key_stays_free,
    a_suppression_is_of_one_app_and_one_recipient,
    a_suppression_counts_from_the_commit_that_brings_it_and_after_a_restart,
    a_suppression_ends_and_leaves,
    suppressions_are_listed_in_order_by_pages,
    a_message_that_is_cancelled_for_it_says_so,
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
