//! Texts and numbers at their ends: what goes in comes out.

use tidings_model::limits::{CREDENTIAL_BYTES_MAX, DATA_BYTES_MAX, RECIPIENT_BYTES_MAX};
use tidings_model::{CredentialFate, Event, State, Timestamp};
use tidings_store::{Batch, CredentialIntake, MessageFilter, NewCredential, NewMessage, Operation, Sweep};

use crate::harness::{BOUND, FREE, NOON, Store, act, key, outcome, permit};

for_every_store! {
    every_recipient_reads_back_and_finds_its_credential,
    every_text_reads_back,
    times_at_both_ends_of_time_read_back,
    a_clock_at_either_end_of_time_commits,
    a_nul_in_an_answer_costs_no_other_character,
    credentials_that_differ_after_a_nul_are_two,
    the_longest_data_reads_back,
    numbers_that_look_like_other_types_stay_texts,
}

/// What is hard for a quoting rule, an escape, a collation or a length.
fn recipients() -> Vec<String> {
    let mut texts: Vec<String> = [
        "'",
        "\"",
        "\\",
        "\\\\\"'",
        "''; DROP TABLE message; --",
        "$.a",
        "%",
        "_",
        "?1",
        ":name",
        "@x",
        "[1]",
        "{}",
        "null",
        "true",
        "0",
        "1e3",
        "007",
        "-0",
        "😀",
        "👨‍👩‍👧‍👦",
        "e\u{301}",
        "é",
        "ÉE",
        "İ",
        "ß",
        "\u{202e}abc",
        "\u{feff}x",
        "\u{10ffff}",
        "\u{fffd}",
        "a b",
        "\u{ad}",
        "a",
        "A",
    ]
    .map(str::to_owned)
    .into();
    texts.push("x".repeat(RECIPIENT_BYTES_MAX));
    texts.push("\\".repeat(RECIPIENT_BYTES_MAX));
    texts.push("😀".repeat(RECIPIENT_BYTES_MAX / 4));
    texts
}

async fn every_recipient_reads_back_and_finds_its_credential(mut store: Store) {
    let texts = recipients();
    let permits = texts.iter().map(|text| permit(text, text)).collect();
    let intake = store.post(permits).await.credentials;
    assert!(intake.iter().all(|intake| matches!(intake, CredentialIntake::New(_))));
    let messages = texts.iter().map(|text| store.message(BOUND, text)).collect();
    let accepted = store.accept(messages).await;
    let claimed = store.claim(BOUND, 500).await;
    assert_eq!(claimed.len(), texts.len());
    for ((claimed, text), id) in claimed.iter().zip(&texts).zip(&accepted) {
        assert_eq!((claimed.message, &claimed.recipient), (*id, text));
        assert!(claimed.credential.as_ref().unwrap().value.ends_with(text), "{text}");
        let filter = MessageFilter { recipient: Some(text.clone()), ..MessageFilter::default() };
        assert_eq!(store.messages(&filter).await.len(), 1, "{text}");
    }
}

async fn every_text_reads_back(mut store: Store) {
    let mut texts = recipients();
    texts.extend(["".to_owned(), " ".to_owned(), "\n\t\r\u{1}\u{1f}\u{7f}\u{85}\u{2028}".to_owned()]);
    for text in texts {
        let message = NewMessage { data: text.clone(), ..store.message(FREE, "ann") };
        let id = store.accept(vec![message]).await[0];
        let claimed = store.claim_one(FREE).await;
        assert_eq!(claimed.data, text);
        let mut settle = outcome(&claimed, State::Held, CredentialFate::Keep);
        settle.settlement.detail = text.clone();
        settle.settlement.provider_id = Some(text.clone());
        store.settle(vec![settle]).await;
        let (row, attempts) = store.reader.message(id).await.unwrap().unwrap();
        assert_eq!(row.provider_id.as_deref(), Some(text.as_str()));
        assert_eq!(row.detail.unwrap_or_default(), text);
        assert_eq!((attempts[0].detail.as_str(), row.data.as_deref()), (text.as_str(), Some(text.as_str())));
        let operation = Operation { note: text.clone(), ..act(Event::Cancel, id) };
        store.commit(Batch { operations: vec![operation], ..Batch::default() }).await;
        assert_eq!(store.message_row(id).await.detail.unwrap_or_default(), text);
    }
}

async fn times_at_both_ends_of_time_read_back(mut store: Store) {
    let at = |send_at, expires_at| NewMessage {
        send_at: Some(Timestamp(send_at)),
        expires_at: Some(Timestamp(expires_at)),
        priority: i8::MIN,
        body_hash: i64::MIN,
        key: key("end"),
        ..store.message(FREE, "ann")
    };
    let (last, first) = (at(i64::MAX, i64::MAX), NewMessage { key: None, ..at(i64::MIN, i64::MIN) });
    let accepted = store.accept(vec![last, first]).await;
    let row = store.message_row(accepted[0]).await;
    assert_eq!((row.due_at, row.expires_at, row.priority), (Timestamp(i64::MAX), Some(Timestamp(i64::MAX)), -128));
    let row = store.message_row(accepted[1]).await;
    assert_eq!((row.state, row.due_at, row.expires_at), (State::Expired, NOON, Some(Timestamp(i64::MIN))));
    let ends = |value, at| NewCredential { expires_at: Some(Timestamp(at)), uses: u32::MAX, ..permit("ann", value) };
    store.post(vec![ends("last", i64::MAX), ends("first", i64::MIN)]).await;
    let rows = store.credentials().await;
    assert_eq!((rows[0].expires_at, rows[0].uses_left), (Some(Timestamp(i64::MAX)), i64::from(u32::MAX)));
    assert_eq!(rows[1].expires_at, Some(Timestamp(i64::MIN)));
    store.accept_one(BOUND, "ann").await;
    assert_eq!(crate::harness::pairs(&store.claim(BOUND, 1).await)[0].1, "last");
}

async fn a_clock_at_either_end_of_time_commits(mut store: Store) {
    for now in [i64::MIN, -1, 0, i64::MAX] {
        store.now = Timestamp(now);
        store.post(vec![NewCredential { expires_at: None, ..permit("ann", &now.to_string()) }]).await;
        let id = store.accept_one(BOUND, "ann").await;
        let batch = Batch {
            claims: vec![store.room(BOUND, 1)],
            sweeps: vec![Sweep::Credentials { after: 0 }],
            ..Batch::default()
        };
        let claimed = store.commit(batch).await.claimed;
        assert_eq!((claimed[0].message, claimed[0].first_try_at), (id, Timestamp(now)));
        store.settle(vec![outcome(&claimed[0], State::Sent, CredentialFate::Spend)]).await;
        assert_eq!(store.message_row(id).await.finished_at, Some(Timestamp(now)));
    }
}

async fn a_nul_in_an_answer_costs_no_other_character(mut store: Store) {
    let text = "before\0after";
    let id = store.accept_one(FREE, "ann").await;
    let claimed = store.claim_one(FREE).await;
    let mut settle = outcome(&claimed, State::Failed, CredentialFate::Spend);
    settle.settlement.detail = text.to_owned();
    store.settle(vec![settle]).await;
    let (row, attempts) = store.reader.message(id).await.unwrap().unwrap();
    let text = store.home.reads_back(text);
    assert_eq!((row.detail.as_deref(), attempts[0].detail.as_str()), (Some(text.as_str()), text.as_str()));
}

async fn credentials_that_differ_after_a_nul_are_two(mut store: Store) {
    let intake =
        store.post(vec![permit("ann", "a\0b"), permit("ann", "a\0c"), permit("ann", "a\0b")]).await.credentials;
    assert!(matches!(intake[..2], [CredentialIntake::New(_), CredentialIntake::New(_)]), "{intake:?}");
    assert_eq!(intake[2], CredentialIntake::Repeated);
    store.accept_one(BOUND, "ann").await;
    let claimed = store.claim_one(BOUND).await;
    assert!(claimed.credential.unwrap().value.ends_with(&store.home.reads_back("a\0b")));
}

async fn the_longest_data_reads_back(mut store: Store) {
    let data = format!("{{\"k\":\"{}\"}}", "\\n".repeat(DATA_BYTES_MAX / 2));
    let value = "v".repeat(CREDENTIAL_BYTES_MAX);
    let message = NewMessage { data: data.clone(), ..store.message(BOUND, "ann") };
    store.accept(vec![message]).await;
    store.post(vec![permit("ann", &value)]).await;
    let claimed = store.claim_one(BOUND).await;
    assert_eq!(claimed.data, data);
    assert!(claimed.credential.unwrap().value.ends_with(&value));
}

async fn numbers_that_look_like_other_types_stay_texts(mut store: Store) {
    let keyed = |text: &str| NewMessage { key: key(text), ..store.message(FREE, "ann") };
    let messages = ["1", "01", "1.0", "1e0", "null", "\"1\"", "[1]"].map(keyed).into();
    let accepted = store.accept(messages).await;
    assert_eq!(accepted.len(), 7);
    let messages = ["1.0", "1"].map(|text| NewMessage { key: key(text), ..store.message(FREE, "ann") }).into();
    let again = store.commit(Batch { messages, ..Batch::default() }).await.accepted;
    assert_eq!(again, [accepted[2], accepted[0]].map(tidings_store::Accepted::Repeat));
}
