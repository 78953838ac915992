//! After a crash: what was under way is known, with all that its settlement needs.

use std::time::Duration;

use tidings_model::rate::Arrival;
use tidings_model::{AppName, CredentialFate, Event, State, Timestamp};
use tidings_store::{AppHalt, Batch, ChannelState, LaneRow, NewMessage, Settle, TokenRow};

use crate::harness::{BOUND, CANARY, DAY, FORM_ID, FREE, HOUR, NOON, SECOND, Store, act, outcome, pairs, permit, shop};

for_every_store! {
    a_crash_leaves_orphans_with_their_credential_and_counts,
    an_orphan_that_is_settled_is_no_orphan,
    a_rescued_message_goes_out_again_with_its_credential,
    a_clean_stop_leaves_no_orphans,
    everything_but_the_attempts_survives_a_crash,
    tokens_survive_a_restart,
    halts_survive_a_restart_until_they_are_lifted,
    lanes_survive_a_restart_and_leave_the_rate_alone,
    a_store_keeps_its_name_and_the_numbers_of_names,
}

async fn a_crash_leaves_orphans_with_their_credential_and_counts(mut store: Store) {
    store.post(vec![permit("ann", "a")]).await;
    let end = Some(NOON.after(DAY * 2));
    let messages = vec![NewMessage { expires_at: end, ..store.message(BOUND, "ann") }, store.message(FREE, "ben")];
    let accepted = store.accept(messages).await;
    store.accept_one(FREE, "cho").await;
    let first = store.claim_one(BOUND).await;
    store.settle(vec![outcome(&first, State::Scheduled, CredentialFate::Keep)]).await;
    store.pass(HOUR);
    let claims = vec![store.room(BOUND, 1), store.room(FREE, 1)];
    assert_eq!(store.commit(Batch { claims, ..Batch::default() }).await.claimed.len(), 2);

    let mut store = store.crash().await;
    let orphans = store.writer.orphans().await.unwrap();
    assert_eq!(orphans.iter().map(|orphan| orphan.message).collect::<Vec<_>>(), accepted);
    let (bound, free) = (&orphans[0], &orphans[1]);
    assert_eq!((bound.recipient.as_str(), bound.template), ("ann", store.paid));
    // Where it is taken over from another engine, its claim is over.
    let generation = if store.home.is_shared() { 3 } else { 2 };
    assert_eq!((bound.generation, bound.channel), (generation, store.channel(BOUND)));
    assert_eq!((bound.attempts, bound.rescues, bound.ambiguous), (1, 0, true));
    assert_eq!((bound.claimed_at, bound.first_try_at, bound.expires_at), (NOON.after(HOUR), NOON, end));
    assert_eq!(bound.credential, Some((FORM_ID.to_owned(), Some(NOON.after(DAY)), NOON)));
    assert_eq!((free.attempts, free.ambiguous, &free.credential), (0, false, &None));
    assert_eq!(free.first_try_at, NOON.after(HOUR));
}

fn rescue(orphan: &tidings_store::Orphan, to: State, fate: CredentialFate) -> Settle {
    let mut settlement = crate::harness::settlement(to, fate);
    settlement.counts = false;
    Settle {
        message: orphan.message,
        generation: orphan.generation,
        channel: orphan.channel,
        started_at: orphan.claimed_at,
        ended_at: orphan.claimed_at,
        outcome: "rescued",
        settlement,
        rescued: true,
    }
}

async fn an_orphan_that_is_settled_is_no_orphan(mut store: Store) {
    store.accept_one(FREE, "ann").await;
    store.claim_one(FREE).await;
    let mut store = store.crash().await;
    let orphans = store.writer.orphans().await.unwrap();
    let settle = rescue(&orphans[0], State::Unknown, CredentialFate::Spend);
    assert_eq!(store.settle(vec![settle.clone(), settle.clone()]).await, [true, false]);
    assert!(store.writer.orphans().await.unwrap().is_empty());
    let mut store = store.crash().await;
    assert!(store.writer.orphans().await.unwrap().is_empty());
    assert_eq!(store.settle(vec![settle]).await, [false]);
}

async fn a_rescued_message_goes_out_again_with_its_credential(mut store: Store) {
    store.post(vec![permit("ann", "a"), permit("ann", "b")]).await;
    let id = store.accept_one(BOUND, "ann").await;
    store.claim_one(BOUND).await;
    for crashes in 1..=3 {
        store = store.crash().await;
        let orphan = store.writer.orphans().await.unwrap().remove(0);
        assert_eq!(orphan.rescues, crashes - 1);
        let settles = vec![rescue(&orphan, State::Scheduled, CredentialFate::Keep)];
        let claims = vec![store.room(BOUND, 1)];
        let claimed = store.commit(Batch { settles, claims, ..Batch::default() }).await.claimed;
        assert_eq!((claimed[0].rescues, claimed[0].attempts, claimed[0].ambiguous), (crashes, 0, true));
        assert_eq!(pairs(&claimed), [(id, "a".to_owned())]);
    }
}

async fn a_clean_stop_leaves_no_orphans(mut store: Store) {
    store.ended(State::Sent).await;
    let mut store = store.crash().await;
    assert!(store.writer.orphans().await.unwrap().is_empty());
    store.check().await;
}

async fn everything_but_the_attempts_survives_a_crash(mut store: Store) {
    store.post(vec![permit("ann", "a")]).await;
    let messages = vec![store.message(BOUND, "ann"), store.message(BOUND, "ben"), store.message(FREE, "cho")];
    let accepted = store.accept(messages).await;
    store.claim(BOUND, 9).await;
    store.commit(Batch { operations: vec![act(Event::Hold, accepted[2])], ..Batch::default() }).await;
    let before = (store.messages(&Default::default()).await, store.credentials().await);
    let store = store.crash().await;
    assert_eq!((store.messages(&Default::default()).await, store.credentials().await), before);
    store.check().await;
}

async fn tokens_survive_a_restart(mut store: Store) {
    let mut token = TokenRow {
        app: shop(),
        account: "account".to_owned(),
        value: Some(CANARY.to_owned()),
        generation: 7,
        fetched_at: Some(NOON),
        expires_at: Some(NOON.after(HOUR)),
        day: -1,
        fetches: u32::MAX,
    };
    let none = TokenRow {
        app: AppName::new("other").unwrap(),
        account: "account".to_owned(),
        value: None,
        fetched_at: None,
        ..token.clone()
    };
    store.commit(Batch { tokens: vec![none.clone(), token.clone()], ..Batch::default() }).await;
    token.generation = 8;
    store.commit(Batch { tokens: vec![token.clone()], ..Batch::default() }).await;
    let mut store = store.crash().await;
    let tokens = store.writer.tokens().await.unwrap();
    assert_eq!((tokens.len(), &tokens[&token.app], &tokens[&none.app]), (2, &token, &none));
}

async fn halts_survive_a_restart_until_they_are_lifted(mut store: Store) {
    let halt = AppHalt { app: shop(), fingerprint: "f1".to_owned(), halted: Some((NOON, "banned".to_owned())) };
    store.commit(Batch { apps: vec![halt.clone()], ..Batch::default() }).await;
    let mut store = store.crash().await;
    assert_eq!(store.writer.halts().await.unwrap()[&halt.app], halt);
    store.commit(Batch { apps: vec![AppHalt { halted: None, ..halt }], ..Batch::default() }).await;
    let mut store = store.crash().await;
    assert!(store.writer.halts().await.unwrap().is_empty());
}

async fn lanes_survive_a_restart_and_leave_the_rate_alone(mut store: Store) {
    let rate = tidings_model::rate::Rate { count: 1, period: Duration::from_secs(1) };
    store.accept_one(FREE, "ann").await;
    let room = tidings_store::ClaimRequest { rate: Some((rate, Arrival::default())), ..store.room(FREE, 1) };
    let arrival = store.commit(Batch { claims: vec![room], ..Batch::default() }).await.arrivals[0].1;
    let state = ChannelState {
        paused: Some((NOON, "lunch".to_owned())),
        closed: Some((NOON.after(SECOND), "45009".to_owned())),
        arrival: Arrival(1),
    };
    let lanes = vec![LaneRow { channel: store.channel(FREE), state: state.clone() }];
    store.commit(Batch { lanes, ..Batch::default() }).await;
    let mut store = store.crash().await;
    let states = store.writer.channel_states().await.unwrap();
    assert_eq!(states[&store.channel(FREE)], ChannelState { arrival, ..state });
    assert_eq!(states[&store.channel(BOUND)], ChannelState::default());
    let lanes = vec![LaneRow { channel: store.channel(FREE), state: ChannelState::default() }];
    store.commit(Batch { lanes, ..Batch::default() }).await;
    let states = store.writer.channel_states().await.unwrap();
    assert_eq!(states[&store.channel(FREE)], ChannelState { arrival, ..ChannelState::default() });
}

async fn a_store_keeps_its_name_and_the_numbers_of_names(store: Store) {
    let before = (store.writer.instance().to_owned(), store.channel(FREE), store.channel(BOUND), store.paid);
    assert_eq!(before.0.len(), 12);
    let store = store.crash().await;
    let after = (store.writer.instance().to_owned(), store.channel(FREE), store.channel(BOUND), store.paid);
    assert_eq!(after, before);
    assert_ne!(store.now, Timestamp::default());
}
