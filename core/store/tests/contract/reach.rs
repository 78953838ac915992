//! Who can be reached: what is read of the ledger is what a claim would find.

use std::time::Duration;

use tidings_model::credential::is_usable;
use tidings_model::forecast::{Forecast, Held, Wanted};
use tidings_model::{AppName, CredentialFate, Recipient, SourceName, State, Timestamp};
use tidings_store::{Batch, HeldRow, NewCredential, NewMessage, SuppressionChange};

use crate::harness::{
    BOUND, CANARY, DAY, FORM_ID, FREE, GRANT, HOUR, NOON, PREPAY, Store, grant, outcome, permit, prepay, shop,
};

for_every_store! {
    a_recipient_is_shown_with_what_is_free_bound_and_waited_for,
    of_another_recipient_nothing_is_shown,
    a_walk_meets_every_free_permit_once_and_no_other,
    a_walk_goes_on_after_a_recipient_with_more_than_a_step,
    who_is_suppressed_is_not_met_and_is_shown_as_such,
    of_many_recipients_each_is_shown_with_what_is_free_and_who_is_told_nothing,
    a_permit_is_known_by_its_identity_whatever_became_of_it,
    the_head_of_a_queue_is_its_longest_due_message_whatever_its_priority,
    as_many_sends_as_are_told_can_be_claimed_and_not_one_more,
}

const SOURCES: [&str; 3] = [FORM_ID, PREPAY, GRANT];

/// What the harness's claims ask for.
fn wanted(scope: &str) -> Wanted {
    Wanted { sources: SOURCES.map(|source| (source.to_owned(), Duration::ZERO)).to_vec(), scope: scope.to_owned() }
}

fn holding(rows: &[HeldRow]) -> Vec<Held<'_>> {
    rows.iter()
        .map(|row| Held {
            source: &row.source,
            scope: row.scope.as_deref(),
            uses: row.uses,
            expires_at: row.expires_at,
        })
        .collect()
}

async fn walk(store: &Store) -> Vec<HeldRow> {
    let (mut rows, mut after) = (Vec::new(), String::new());
    loop {
        let (page, next) = store.reader.walk_free(&after, store.now).await.unwrap();
        rows.extend(page);
        match next {
            Some(next) => after = next,
            None => return rows,
        }
    }
}

async fn suppress(store: &mut Store, recipient: &str, until: Option<i64>) {
    let suppressions = vec![SuppressionChange::Add {
        app: shop(),
        recipient: Recipient::new(recipient).unwrap(),
        reason: "unsubscribed".to_owned(),
        who: "local".to_owned(),
        expires_at: until.map(Timestamp),
    }];
    store.commit(Batch { suppressions, ..Batch::default() }).await;
}

async fn a_recipient_is_shown_with_what_is_free_bound_and_waited_for(mut store: Store) {
    store.post(vec![permit("ann", "first")]).await;
    let sent = store.accept_one(BOUND, "ann").await;
    let claimed = store.claim_one(BOUND).await;
    let waits =
        vec![store.message(BOUND, "ann"), NewMessage { template: store.shipped, ..store.message(BOUND, "ann") }];
    store.accept(waits).await;
    assert!(store.claim(BOUND, 9).await.is_empty());
    let late = NewCredential { app: AppName::new("other").unwrap(), ..prepay("ann", "pay") };
    let batch = Batch { credentials: vec![late, grant("ann")], ..Batch::default() };
    store.commit(batch).await;
    let of = store.reader.of_recipient("ann", &[shop()], store.now).await.unwrap();
    let free: Vec<(&str, &str, Option<&str>, u32)> =
        of.free.iter().map(|row| (&*row.app, &*row.source, row.scope.as_deref(), row.uses)).collect();
    assert_eq!(free, [("other", PREPAY, None, 3), ("shop", GRANT, Some("scope-paid"), 1)]);
    assert_eq!(of.free[0].expires_at, Some(NOON.after(DAY)));
    assert_eq!(of.bound.len(), 1);
    assert_eq!((of.bound[0].message, &*of.bound[0].source, of.bound[0].state), (sent, FORM_ID, State::Sending));
    assert!(of.suppressed.is_empty() && !of.more);
    // The grant that came woke both: none is waiting before the next claim.
    assert!(of.waiting.is_empty());
    assert_eq!(store.claim(BOUND, 9).await.len(), 1);
    let of = store.reader.of_recipient("ann", &[shop()], store.now).await.unwrap();
    assert_eq!(of.waiting, [(store.shipped, 1)]);
    assert!(!format!("{of:?}").contains(CANARY));
    store.settle(vec![outcome(&claimed, State::Sent, CredentialFate::Spend)]).await;
}

async fn of_another_recipient_nothing_is_shown(mut store: Store) {
    store.post(vec![permit("ann", "a"), permit("annie", "b")]).await;
    store.accept_one(BOUND, "ann").await;
    store.claim_one(BOUND).await;
    let of = store.reader.of_recipient("an", &[shop()], store.now).await.unwrap();
    assert_eq!(of, tidings_store::OfRecipient::default());
}

async fn a_walk_meets_every_free_permit_once_and_no_other(mut store: Store) {
    store.post(vec![permit("ben", "b"), permit("ann", "a"), prepay("ann", "p"), permit("cho", "c")]).await;
    store.accept_one(BOUND, "cho").await;
    store.claim_one(BOUND).await;
    let met: Vec<(String, String)> = walk(&store).await.into_iter().map(|row| (row.recipient, row.source)).collect();
    let expected =
        [("ann", FORM_ID), ("ann", PREPAY), ("ben", FORM_ID)].map(|(who, of)| (who.to_owned(), of.to_owned()));
    assert_eq!(met, expected);
}

async fn a_walk_goes_on_after_a_recipient_with_more_than_a_step(mut store: Store) {
    // More than two steps: people with a few, one who alone fills more than a step, and people behind.
    for chunk in 0..9 {
        let many = (0..1000).map(|n| permit("mid", &format!("m{chunk}-{n}"))).collect();
        store.post(many).await;
    }
    let few = |who: &'static str| (0..900).map(move |n| permit(&format!("{who}{n:03}"), &format!("{who}{n}")));
    store.post(few("a").collect()).await;
    store.post(few("z").collect()).await;
    let rows = walk(&store).await;
    let count = |who: &str| rows.iter().filter(|row| row.recipient.starts_with(who)).count();
    assert_eq!((count("a"), count("z")), (900, 900));
    assert!(count("mid") >= 1000 && count("mid") <= 9000, "{}", count("mid"));
    assert!(rows.windows(2).all(|two| two[0].recipient <= two[1].recipient));
}

async fn who_is_suppressed_is_not_met_and_is_shown_as_such(mut store: Store) {
    let other = NewCredential { app: AppName::new("other").unwrap(), ..permit("ann", "x") };
    store.post(vec![permit("ann", "a"), other, permit("ben", "b")]).await;
    suppress(&mut store, "ann", None).await;
    suppress(&mut store, "ben", Some(NOON.0)).await;
    let met: Vec<(String, String)> = walk(&store).await.into_iter().map(|row| (row.recipient, row.app)).collect();
    assert_eq!(met, [("ann".to_owned(), "other".to_owned()), ("ben".to_owned(), "shop".to_owned())]);
    let of = store.reader.of_recipient("ann", &[shop()], store.now).await.unwrap();
    assert_eq!(
        (&*of.suppressed[0].app, &*of.suppressed[0].reason, of.suppressed[0].until),
        ("shop", "unsubscribed", None)
    );
    assert!(store.reader.of_recipient("ben", &[shop()], store.now).await.unwrap().suppressed.is_empty());
}

async fn a_permit_is_known_by_its_identity_whatever_became_of_it(mut store: Store) {
    let source = SourceName::new(FORM_ID).unwrap();
    assert!(!store.reader.is_known(&shop(), &source, "a").await.unwrap());
    store.post(vec![permit("ann", "a")]).await;
    assert!(store.reader.is_known(&shop(), &source, "a").await.unwrap());
    store.accept_one(BOUND, "ann").await;
    let claimed = store.claim_one(BOUND).await;
    store.settle(vec![outcome(&claimed, State::Sent, CredentialFate::Spend)]).await;
    assert!(store.reader.is_known(&shop(), &source, "a").await.unwrap());
    assert!(!store.reader.is_known(&shop(), &SourceName::new(PREPAY).unwrap(), "a").await.unwrap());
}

async fn the_head_of_a_queue_is_its_longest_due_message_whatever_its_priority(mut store: Store) {
    let channels = [store.channel(BOUND), store.channel(FREE)];
    assert_eq!(store.reader.queue_heads(&channels).await.unwrap(), []);
    for (hours, priority) in [(0, 5), (1, -3), (2, 9), (3, 0)] {
        store.now = NOON.after(HOUR * ((hours + 2) % 4));
        let message = NewMessage { priority, ..store.message(FREE, "ann") };
        store.accept(vec![message]).await;
    }
    let heads = store.reader.queue_heads(&channels).await.unwrap();
    // The one of priority 9 came first; those before it in the queue came later.
    assert_eq!(heads, [(store.channel(FREE), NOON)]);
    store.claim(FREE, 9).await;
    assert_eq!(store.reader.queue_heads(&channels).await.unwrap(), []);
}

/// A ledger with every kind of permit, usable and not; then the claims themselves, until nothing more is claimed.
async fn as_many_sends_as_are_told_can_be_claimed_and_not_one_more(mut store: Store) {
    let ends = |credential: NewCredential, hours: u32| NewCredential {
        expires_at: Some(NOON.after(HOUR * hours)),
        ..credential
    };
    let scoped = |scope: &str, credential: NewCredential| NewCredential { scope: Some(scope.to_owned()), ..credential };
    let mut posted = Vec::new();
    for (index, who) in ["ann", "ben", "cho", "dee"].into_iter().enumerate() {
        let name = |kind: &str| format!("{who}-{kind}");
        posted.push(permit(who, &name("any")));
        posted.push(ends(prepay(who, &name("soon")), 1));
        posted.push(scoped("scope-shipped", permit(who, &name("shipped"))));
        if index > 0 {
            posted.push(grant(who));
            posted.push(scoped("scope-paid", prepay(who, &name("paid"))));
        }
        if index > 1 {
            posted.push(ends(permit(who, &name("over")), 2));
            posted.push(NewCredential { app: AppName::new("other").unwrap(), ..permit(who, &name("other")) });
            posted.push(NewCredential { source: SourceName::new("other.kind").unwrap(), ..permit(who, &name("kind")) });
        }
    }
    store.post(posted).await;
    store.pass(HOUR * 2);
    for (scope, template) in [("scope-paid", store.paid), ("scope-shipped", store.shipped)] {
        let mut told = Forecast::new(store.now);
        for who in ["ann", "ben", "cho", "dee", "eve"] {
            let of = store.reader.of_recipient(who, &[shop()], store.now).await.unwrap();
            let mine: Vec<HeldRow> = of.free.into_iter().filter(|row| row.app == "shop").collect();
            assert!(mine.iter().any(|row| !is_usable(row.expires_at, Duration::ZERO, store.now)) || who == "eve");
            let reach = wanted(scope).reach(&holding(&mine), store.now);
            told.count(&wanted(scope), &holding(&mine));
            let sends = reach.map_or(0, |reach| reach.sends);
            let mut made = 0;
            loop {
                let message = NewMessage { template, ..store.message(BOUND, who) };
                store.accept(vec![message]).await;
                let claimed = store.claim(BOUND, 9).await;
                if claimed.is_empty() {
                    break;
                }
                made += claimed.len() as u64;
                let spent = claimed.iter().map(|one| outcome(one, State::Sent, CredentialFate::Spend)).collect();
                store.settle(spent).await;
            }
            assert_eq!(made, sends, "{who} with {scope}");
        }
        assert_eq!(told.people, 4, "{scope}: {told:?}");
        // What was sent is gone from the ledger: nobody is told to be within reach any more.
        let mut after = Forecast::new(store.now);
        for who in ["ann", "ben", "cho", "dee"] {
            let mine: Vec<HeldRow> =
                walk(&store).await.into_iter().filter(|row| row.recipient == who && row.app == "shop").collect();
            after.count(&wanted(scope), &holding(&mine));
        }
        assert_eq!((after.people, after.sends), (0, 0), "{scope}");
    }
}

async fn of_many_recipients_each_is_shown_with_what_is_free_and_who_is_told_nothing(mut store: Store) {
    store
        .post(vec![permit("ann", "first"), prepay("ann", "second"), permit("ben", "third"), permit("dan", "not asked")])
        .await;
    store.accept_one(BOUND, "ben").await;
    store.claim_one(BOUND).await;
    suppress(&mut store, "cho", None).await;
    let until = store.now.0 - 1;
    suppress(&mut store, "ben", Some(until)).await;
    let (held, suppressed) =
        store.reader.of_recipients(&["ann", "ben", "cho", "ann"], &shop(), store.now).await.unwrap();
    // Who is asked for twice is shown twice.
    let holders: Vec<&str> = held.iter().map(|row| row.recipient.as_str()).collect();
    assert_eq!(holders, ["ann"; 4]);
    assert_eq!(held.iter().map(|row| row.uses).sum::<u32>(), 8);
    assert_eq!(suppressed, ["cho"]);
    let other = AppName::new("other").unwrap();
    let (held, suppressed) = store.reader.of_recipients(&["ann", "cho"], &other, store.now).await.unwrap();
    assert!(held.is_empty() && suppressed.is_empty());
}
