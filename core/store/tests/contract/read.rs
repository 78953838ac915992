//! Reading: pages, filters, and what is shown to nobody.

use std::time::Duration;

use tidings_model::{CredentialFate, State};
use tidings_store::{Batch, CredentialFilter, MessageFilter, NewCredential, NewMessage, TokenRow};

use crate::harness::{
    BOUND, CANARY, DAY, FORM_ID, FREE, GRANT, HOUR, NOON, PREPAY, Store, grant, outcome, permit, prepay, shop,
};

for_every_store! {
    pages_of_messages_join_without_gap_or_overlap,
    filters_choose_by_state_channel_template_and_recipient,
    a_recipients_messages_are_listed_whatever_state_they_are_in,
    pages_of_credentials_join_and_filters_choose,
    who_can_be_reached_is_listed_once_each,
    no_row_of_the_ledger_carries_its_value,
    nothing_prints_a_credential_or_a_token,
}

async fn pages_of_messages_join_without_gap_or_overlap(mut store: Store) {
    let messages = (0..7).map(|_| store.message(FREE, "ann")).collect();
    let mut accepted = store.accept(messages).await;
    accepted.reverse();
    for limit in 1..9 {
        let mut seen = Vec::new();
        let mut filter = MessageFilter { limit, ..MessageFilter::default() };
        loop {
            let page = store.reader.messages(&filter).await.unwrap();
            assert!(page.rows.len() <= limit as usize);
            seen.extend(page.rows.iter().map(|row| row.id));
            let Some(next) = page.next else { break };
            filter.before = Some(next);
        }
        assert_eq!(seen, accepted, "pages of {limit}");
    }
    let none = store.reader.messages(&MessageFilter::default()).await.unwrap();
    assert_eq!((none.rows.len(), none.next), (0, None), "a page of no rows is the last");
}

async fn filters_choose_by_state_channel_template_and_recipient(mut store: Store) {
    let sent = store.ended(State::Sent).await;
    let messages = vec![
        store.message(FREE, "ann"),
        store.message(BOUND, "ben"),
        NewMessage { template: store.shipped, ..store.message(BOUND, "ann") },
    ];
    let accepted = store.accept(messages).await;
    let all = MessageFilter::default;
    let some = |text: &str| Some(text.to_owned());
    let cases = [
        (MessageFilter { state: Some(State::Sent), ..all() }, vec![sent]),
        (MessageFilter { channel: some(BOUND), ..all() }, vec![accepted[2], accepted[1]]),
        (MessageFilter { template: some("shipped"), ..all() }, vec![accepted[2]]),
        (MessageFilter { recipient: some("ann"), state: Some(State::Queued), ..all() }, vec![accepted[2], accepted[0]]),
        (MessageFilter { recipient: some("nobody"), ..all() }, vec![]),
        (MessageFilter { channel: some("' OR 1 --"), ..all() }, vec![]),
    ];
    for (filter, expected) in cases {
        let seen: Vec<_> = store.messages(&filter).await.iter().map(|row| row.id).collect();
        assert_eq!(seen, expected, "{filter:?}");
    }
}

async fn a_recipients_messages_are_listed_whatever_state_they_are_in(mut store: Store) {
    let mut expected = Vec::new();
    for round in 0..3 {
        store.accept_one(FREE, "ben").await;
        for state in [State::Sent, State::Failed, State::Unknown, State::Held] {
            let message = NewMessage { priority: 9, ..store.message(FREE, "ann") };
            expected.extend(store.accept(vec![message]).await);
            let claimed = store.claim_one(FREE).await;
            store.settle(vec![outcome(&claimed, state, CredentialFate::Spend)]).await;
        }
        let later = NewMessage { send_at: Some(NOON.after(HOUR * (round + 1))), ..store.message(FREE, "ann") };
        expected.extend(store.accept(vec![later]).await);
        let next = NewMessage { priority: 9, ..store.message(FREE, "ann") };
        let sending = store.accept(vec![next]).await[0];
        assert_eq!(store.claim_one(FREE).await.message, sending, "it goes on being sent");
        expected.push(sending);
        expected.push(store.accept_one(FREE, "ann").await);
    }
    expected.reverse();
    for limit in 1..expected.len() + 2 {
        let limit = u32::try_from(limit).unwrap();
        let of_ann = MessageFilter { recipient: Some("ann".to_owned()), limit, ..MessageFilter::default() };
        let mut filter = of_ann.clone();
        let mut seen = Vec::new();
        loop {
            let page = store.reader.messages(&filter).await.unwrap();
            assert!(page.rows.len() <= limit as usize, "pages of {limit}");
            seen.extend(page.rows.iter().map(|row| row.id));
            let Some(next) = page.next else { break };
            filter.before = Some(next);
        }
        assert_eq!(seen, expected, "pages of {limit}");
    }
    for (state, many) in
        [(State::Sending, 3), (State::Sent, 3), (State::Queued, 3), (State::Scheduled, 3), (State::Waiting, 0)]
    {
        let filter =
            MessageFilter { recipient: Some("ann".to_owned()), state: Some(state), ..MessageFilter::default() };
        let of_state = store.messages(&filter).await;
        assert!(of_state.iter().all(|row| row.state == state && row.recipient == "ann"), "{state}");
        assert_eq!(of_state.len(), many, "{state}");
    }
}

async fn pages_of_credentials_join_and_filters_choose(mut store: Store) {
    store.post(vec![permit("ann", "a"), prepay("ann", "b"), permit("ben", "c"), grant("cho")]).await;
    store.accept_one(BOUND, "ben").await;
    store.claim_one(BOUND).await;
    let rows = store.credentials().await;
    assert_eq!(rows.len(), 4);
    let mut filter = CredentialFilter { limit: 3, ..CredentialFilter::default() };
    let first = store.reader.credentials(&filter).await.unwrap();
    filter.before = first.next;
    let second = store.reader.credentials(&filter).await.unwrap();
    let mut joined: Vec<_> = first.rows.into_iter().chain(second.rows).collect();
    joined.reverse();
    assert_eq!(joined, rows);
    let of = |source: Option<&str>, recipient: Option<&str>, usable| CredentialFilter {
        source: source.map(str::to_owned),
        recipient: recipient.map(str::to_owned),
        usable,
        before: None,
        limit: 9,
    };
    let cases = [(Some(FORM_ID), None, false, 2), (None, Some("ann"), false, 2), (None, None, true, 3)];
    for (source, recipient, usable, count) in cases {
        let page = store.reader.credentials(&of(source, recipient, usable)).await.unwrap();
        assert_eq!(page.rows.len(), count, "{source:?} {recipient:?} {usable}");
    }
}

async fn who_can_be_reached_is_listed_once_each(mut store: Store) {
    let ends = NewCredential { expires_at: Some(NOON.after(HOUR)), ..permit("ends", "e") };
    let other = NewCredential { scope: Some("scope-shipped".to_owned()), ..grant("other") };
    store.post(vec![permit("cho", "c"), permit("ann", "a"), prepay("ann", "b"), grant("ben"), ends, other]).await;
    let sources = [FORM_ID, PREPAY, GRANT].map(|source| (source.to_owned(), HOUR));
    let app = shop();
    let reach = |after| store.reader.recipients_with_credential(&app, &sources, "scope-paid", NOON, after);
    assert_eq!(reach(None).await.unwrap(), ["ann", "ben", "cho"]);
    assert_eq!(reach(Some("ann")).await.unwrap(), ["ben", "cho"]);
    let none: [(String, Duration); 0] = [];
    let found = store.reader.recipients_with_credential(&shop(), &none, "scope-paid", NOON, None).await.unwrap();
    assert!(found.is_empty());
}

async fn no_row_of_the_ledger_carries_its_value(mut store: Store) {
    store.post(vec![permit("ann", "a"), grant("ben")]).await;
    store.accept_one(BOUND, "ann").await;
    let claimed = store.claim_one(BOUND).await;
    let mut settle = outcome(&claimed, State::Scheduled, CredentialFate::Keep);
    settle.settlement.detail = "as the provider said".to_owned();
    store.settle(vec![settle]).await;
    let rows = format!("{:?} {:?}", store.credentials().await, store.reader.message(claimed.message).await);
    assert!(rows.contains("as the provider said"));
    assert!(!rows.contains(CANARY), "{rows}");
}

async fn nothing_prints_a_credential_or_a_token(mut store: Store) {
    let token = TokenRow {
        app: shop(),
        account: "account".to_owned(),
        value: Some(CANARY.to_owned()),
        generation: 1,
        fetched_at: None,
        expires_at: Some(NOON.after(DAY)),
        day: 0,
        fetches: 1,
    };
    let new = permit("ann", "a");
    store.accept_one(BOUND, "ann").await;
    let batch = Batch {
        credentials: vec![new.clone()],
        tokens: vec![token.clone()],
        claims: vec![store.room(BOUND, 1)],
        ..Batch::default()
    };
    let mut printed = format!("{batch:?} {new:?} {token:?}");
    let committed = store.commit(batch).await;
    let claimed = &committed.claimed[0];
    let bound = claimed.credential.as_ref().unwrap();
    assert!(bound.value.contains(CANARY) && claimed.data == "{}");
    printed.push_str(&format!("{committed:?} {claimed:?} {bound:?} {:?}", store.writer.tokens().await.unwrap()));
    printed.push_str(&format!("{:#?} {:#?}", store.writer, store.reader));
    assert!(!printed.contains(CANARY), "{printed}");
}
