//! The ledger: a credential is bound to one message before the send, and never to another.

use std::time::Duration;

use tidings_model::limits::{CREDENTIAL_MEMORY, SWEEP_ROWS_MAX};
use tidings_model::{AppName, CredentialFate, Event, SourceName, State};
use tidings_store::{Batch, ClaimRequest, CredentialIntake, Needs, NewCredential, NewMessage, Sweep};

use crate::harness::{
    BOUND, DAY, FORM_ID, FREE, GRANT, HOUR, NOON, PREPAY, SECOND, SISTER, Store, act, grant, ids, outcome, pairs,
    permit, prepay,
};

for_every_store! {
    nobody_goes_with_anothers_credential,
    the_credential_that_ends_soonest_goes_first_and_one_without_end_last,
    a_credential_is_not_bound_within_the_margin_of_its_end,
    the_margin_of_each_source_is_its_own,
    a_credential_of_a_scope_serves_its_template_only,
    a_credential_of_another_app_or_source_serves_nobody,
    used_and_bound_credentials_are_passed_over,
    without_a_credential_a_message_waits_and_lets_others_pass,
    those_who_wait_take_no_room_from_those_behind_them,
    a_credential_that_arrives_wakes_who_waits_and_is_bound_in_the_same_commit,
    since_when_a_message_waits_is_kept_and_what_it_then_went_on_with,
    a_credential_that_is_given_back_wakes_who_waits,
    one_credential_serves_one_of_two_messages_in_one_claim,
    two_channels_of_one_app_share_its_credentials_in_one_commit,
    three_uses_serve_three_messages_one_after_the_other,
    a_kept_credential_goes_out_with_its_own_message_and_no_other,
    a_kept_credential_goes_out_again_though_its_end_is_near,
    a_kept_credential_is_spent_with_a_message_that_is_withdrawn,
    a_kept_credential_is_spent_with_a_message_that_expires,
    what_is_left_of_a_kept_credential_wakes_who_waits,
    a_refused_withdrawal_leaves_the_credential_with_the_attempt,
    none_left_empties_the_sisters_of_that_user_and_scope,
    none_left_says_nothing_of_a_grant_that_came_after_the_send,
    a_start_asks_everybody_again_who_waits_beside_a_credential,
    a_kept_credential_is_settled_though_its_channel_needs_none_any_more,
    a_source_named_twice_offers_each_credential_once,
    a_value_that_was_posted_before_is_repeated_whatever_became_of_it,
    credentials_without_identity_are_all_new,
    stale_credentials_are_removed_and_used_ones_remembered,
    a_used_credential_is_remembered_to_its_end_however_far_that_is,
    a_page_of_those_who_wait_goes_on_after_the_last,
    a_bound_credential_is_never_purged,
    a_purge_takes_a_slice_at_a_time,
    of_very_many_permits_the_soonest_to_end_go_first_and_the_older_of_two,
}

fn of(source: &str, credential: NewCredential) -> NewCredential {
    NewCredential { source: SourceName::new(source).unwrap(), ..credential }
}

async fn waiting(store: &Store) -> i64 {
    store.writer.count(store.channel(BOUND), State::Waiting)
}

async fn nobody_goes_with_anothers_credential(mut store: Store) {
    let messages = vec![store.message(BOUND, "ann"), store.message(BOUND, "ben")];
    let accepted = store.accept(messages).await;
    store.post(vec![permit("ben", "b"), permit("Ann", "A"), permit("ben", "b2")]).await;
    assert_eq!(pairs(&store.claim(BOUND, 9).await), [(accepted[1], "b".to_owned())]);
    assert_eq!(store.state(accepted[0]).await, State::Waiting);
}

async fn the_credential_that_ends_soonest_goes_first_and_one_without_end_last(mut store: Store) {
    let ends = |value, hours: Option<u32>| NewCredential {
        expires_at: hours.map(|hours| NOON.after(HOUR * hours)),
        ..permit("ann", value)
    };
    let never = of(PREPAY, ends("never", None));
    store.post(vec![never, ends("late", Some(9)), of(GRANT, ends("soon", Some(1))), ends("next", Some(5))]).await;
    let messages = (0..4).map(|_| store.message(BOUND, "ann")).collect();
    store.accept(messages).await;
    let order: Vec<String> = pairs(&store.claim(BOUND, 9).await).into_iter().map(|pair| pair.1).collect();
    assert_eq!(order, ["soon", "next", "late", "never"]);
}

async fn a_credential_is_not_bound_within_the_margin_of_its_end(mut store: Store) {
    let mut room = store.room(BOUND, 9);
    room.needs.as_mut().unwrap().sources[0].margin = HOUR;
    store.post(vec![NewCredential { expires_at: Some(NOON.after(HOUR)), ..permit("ann", "short") }]).await;
    let message = vec![store.message(BOUND, "ann")];
    let id = store.accept(message).await[0];
    let committed = store.commit(Batch { claims: vec![room.clone()], ..Batch::default() }).await;
    assert!(committed.claimed.is_empty());
    let long = NewCredential { expires_at: Some(NOON.after(HOUR + Duration::from_millis(1))), ..permit("ann", "long") };
    let batch = Batch { credentials: vec![long], claims: vec![room], ..Batch::default() };
    assert_eq!(pairs(&store.commit(batch).await.claimed), [(id, "long".to_owned())]);
}

async fn the_margin_of_each_source_is_its_own(mut store: Store) {
    let mut room = store.room(BOUND, 9);
    room.needs.as_mut().unwrap().sources[0].margin = DAY * 2;
    store.post(vec![permit("ann", "form"), prepay("ann", "pay")]).await;
    let id = store.accept_one(BOUND, "ann").await;
    let committed = store.commit(Batch { claims: vec![room], ..Batch::default() }).await;
    assert_eq!(pairs(&committed.claimed), [(id, "pay".to_owned())]);
}

async fn a_credential_of_a_scope_serves_its_template_only(mut store: Store) {
    let scoped = |scope: &str| NewCredential { scope: Some(scope.to_owned()), ..permit("ann", scope) };
    store.post(vec![scoped("scope-shipped"), scoped("scope-none"), scoped("")]).await;
    let paid = store.accept_one(BOUND, "ann").await;
    let shipped = NewMessage { template: store.shipped, ..store.message(BOUND, "ann") };
    let shipped = store.accept(vec![shipped]).await[0];
    assert_eq!(pairs(&store.claim(BOUND, 9).await), [(shipped, "scope-shipped".to_owned())]);
    assert_eq!(store.state(paid).await, State::Waiting);
}

async fn a_credential_of_another_app_or_source_serves_nobody(mut store: Store) {
    let other_app = NewCredential { app: AppName::new("other").unwrap(), ..permit("ann", "a") };
    store.post(vec![other_app, of("other.kind", permit("ann", "b"))]).await;
    store.accept_one(BOUND, "ann").await;
    assert!(store.claim(BOUND, 9).await.is_empty());
    assert_eq!(waiting(&store).await, 1);
}

async fn used_and_bound_credentials_are_passed_over(mut store: Store) {
    store.post(vec![permit("ann", "used"), permit("ann", "bound"), permit("ann", "free")]).await;
    let messages = (0..4).map(|_| store.message(BOUND, "ann")).collect();
    let accepted: Vec<_> = store.accept(messages).await;
    let used = store.claim_one(BOUND).await;
    store.settle(vec![outcome(&used, State::Sent, CredentialFate::Spend)]).await;
    let bound = store.claim_one(BOUND).await;
    assert_eq!(pairs(&[bound]), [(accepted[1], "bound".to_owned())]);
    assert_eq!(pairs(&store.claim(BOUND, 9).await), [(accepted[2], "free".to_owned())]);
    assert_eq!(store.state(accepted[3]).await, State::Waiting);
    assert_eq!(store.ledger().await, [(0, None), (1, Some(accepted[1])), (1, Some(accepted[2]))]);
}

async fn without_a_credential_a_message_waits_and_lets_others_pass(mut store: Store) {
    let ann = store.accept_one(BOUND, "ann").await;
    let ben = store.accept_one(BOUND, "ben").await;
    store.post(vec![permit("ben", "b")]).await;
    assert_eq!(ids(&store.claim(BOUND, 9).await), [ben]);
    let row = store.message_row(ann).await;
    assert_eq!((row.state, row.reason.as_deref()), (State::Waiting, Some("no_credential")));
}

async fn those_who_wait_take_no_room_from_those_behind_them(mut store: Store) {
    let messages = (0..3).map(|_| store.message(BOUND, "ann")).collect();
    store.accept(messages).await;
    let ben = store.accept_one(BOUND, "ben").await;
    store.post(vec![permit("ben", "b")]).await;
    let mut claimed = Vec::new();
    for _ in 0..9 {
        let claims = vec![store.room(BOUND, 1)];
        let committed = store.commit(Batch { claims, ..Batch::default() }).await;
        claimed.extend(ids(&committed.claimed));
        if !committed.more {
            break;
        }
    }
    assert_eq!(claimed, [ben], "`more` leads there without waiting for anything");
}

async fn a_credential_that_arrives_wakes_who_waits_and_is_bound_in_the_same_commit(mut store: Store) {
    let ann = store.accept_one(BOUND, "ann").await;
    store.accept_one(BOUND, "ben").await;
    store.claim(BOUND, 9).await;
    assert_eq!(waiting(&store).await, 2);
    let batch = Batch { credentials: vec![permit("ann", "a")], claims: vec![store.room(BOUND, 9)], ..Batch::default() };
    assert_eq!(pairs(&store.commit(batch).await.claimed), [(ann, "a".to_owned())]);
    assert_eq!(waiting(&store).await, 1);
}

async fn since_when_a_message_waits_is_kept_and_what_it_then_went_on_with(mut store: Store) {
    let id = store.accept_one(BOUND, "ann").await;
    store.claim(BOUND, 9).await;
    async fn told(store: &Store, id: tidings_model::MessageId) -> Vec<(String, i64)> {
        let moments = store.reader.moments(id).await.unwrap();
        moments.into_iter().map(|moment| (moment.what, (moment.at.0 - NOON.0) / 1000)).collect()
    }
    let moment = |what: &str, seconds| (what.to_owned(), seconds);
    assert_eq!(told(&store, id).await, [moment("waiting", 0)]);
    // It is woken by one that does not fit, and waits on.
    store.pass(SECOND);
    let other = NewCredential { scope: Some("scope-shipped".to_owned()), ..permit("ann", "z") };
    store.post(vec![other]).await;
    assert_eq!(store.claim(BOUND, 9).await.len(), 0);
    assert_eq!(told(&store, id).await, [moment("waiting", 0)], "it waits since the first time");
    store.pass(SECOND);
    store.post(vec![permit("ann", "a")]).await;
    let claimed = store.claim_one(BOUND).await;
    assert_eq!(told(&store, id).await, [moment("waiting", 0), moment("bound", 2)]);
    let with = store.reader.moments(id).await.unwrap().remove(1).detail.unwrap();
    assert!(with.starts_with(FORM_ID) && with.contains("2023-11-14T22:13:22"), "{with}");
    // Refused, it comes back and waits anew.
    store.pass(SECOND);
    store.settle(vec![outcome(&claimed, State::Scheduled, CredentialFate::Drop)]).await;
    store.claim(BOUND, 9).await;
    assert_eq!(told(&store, id).await, [moment("bound", 2), moment("waiting", 3)]);
    // Who never waited has nothing to tell, and what leaves takes its moments along.
    let at_once = store.accept_one(BOUND, "ben").await;
    store.post(vec![permit("ben", "b")]).await;
    store.claim_one(BOUND).await;
    assert_eq!(told(&store, at_once).await, []);
    store.commit(Batch { operations: vec![act(Event::Cancel, id)], ..Batch::default() }).await;
    store.pass(HOUR);
    let sweeps = vec![Sweep::Ended { after: 0, states: vec![State::Cancelled], before: store.now }];
    assert_eq!(store.commit(Batch { sweeps, ..Batch::default() }).await.swept[0].removed, 1);
    assert_eq!(told(&store, id).await, []);
}

async fn a_credential_that_is_given_back_wakes_who_waits(mut store: Store) {
    store.post(vec![permit("ann", "a")]).await;
    let first = store.accept_one(BOUND, "ann").await;
    let second = store.accept_one(BOUND, "ann").await;
    let claimed = store.claim(BOUND, 9).await;
    assert_eq!(ids(&claimed), [first]);
    assert_eq!(store.state(second).await, State::Waiting);
    let settles = vec![outcome(&claimed[0], State::Failed, CredentialFate::GiveBack)];
    let batch = Batch { settles, claims: vec![store.room(BOUND, 9)], ..Batch::default() };
    assert_eq!(pairs(&store.commit(batch).await.claimed), [(second, "a".to_owned())]);
}

async fn one_credential_serves_one_of_two_messages_in_one_claim(mut store: Store) {
    store.post(vec![prepay("ann", "a")]).await;
    let messages = vec![store.message(BOUND, "ann"), store.message(BOUND, "ann")];
    let accepted = store.accept(messages).await;
    assert_eq!(ids(&store.claim(BOUND, 9).await), accepted[..1], "three uses are three messages one after the other");
    assert_eq!(store.state(accepted[1]).await, State::Waiting);
}

async fn two_channels_of_one_app_share_its_credentials_in_one_commit(mut store: Store) {
    store.post(vec![permit("ann", "a")]).await;
    let bound = store.accept_one(BOUND, "ann").await;
    let sister = store.accept_one(SISTER, "ann").await;
    let claims = vec![store.room(SISTER, 9), store.room(BOUND, 9)];
    let committed = store.commit(Batch { claims, ..Batch::default() }).await;
    assert_eq!(pairs(&committed.claimed), [(sister, "a".to_owned())]);
    assert_eq!(store.state(bound).await, State::Waiting);
}

async fn three_uses_serve_three_messages_one_after_the_other(mut store: Store) {
    store.post(vec![prepay("ann", "p")]).await;
    let messages = (0..4).map(|_| store.message(BOUND, "ann")).collect();
    let accepted = store.accept(messages).await;
    for id in &accepted[..3] {
        let claimed = store.claim(BOUND, 9).await;
        assert_eq!(pairs(&claimed), [(*id, "p".to_owned())]);
        assert!(store.claim(BOUND, 9).await.is_empty(), "one at a time");
        store.settle(vec![outcome(&claimed[0], State::Sent, CredentialFate::Spend)]).await;
    }
    assert!(store.claim(BOUND, 9).await.is_empty());
    assert_eq!(store.ledger().await, [(0, None)]);
    assert_eq!(store.state(accepted[3]).await, State::Waiting);
}

/// One message in doubt, between two attempts, with the one credential of `ann`.
async fn in_doubt(store: &mut Store, credential: NewCredential, end: Option<Duration>) -> tidings_store::Claimed {
    store.post(vec![credential]).await;
    let message = NewMessage { expires_at: end.map(|end| NOON.after(end)), ..store.message(BOUND, "ann") };
    let id = store.accept(vec![message]).await[0];
    let claimed = store.claim_one(BOUND).await;
    assert_eq!(claimed.message, id);
    let mut kept = outcome(&claimed, State::Scheduled, CredentialFate::Keep);
    kept.settlement.due_at = Some(NOON.after(HOUR));
    assert_eq!(store.settle(vec![kept]).await, [true]);
    claimed
}

async fn a_kept_credential_goes_out_with_its_own_message_and_no_other(mut store: Store) {
    let first = in_doubt(&mut store, prepay("ann", "p"), None).await;
    let other = store.accept_one(BOUND, "ann").await;
    assert!(store.claim(BOUND, 9).await.is_empty(), "the other does not get it");
    assert_eq!(store.state(other).await, State::Waiting);
    store.pass(HOUR);
    let again = store.claim(BOUND, 9).await;
    assert_eq!(pairs(&again), [(first.message, "p".to_owned())]);
    assert!(again[0].ambiguous);
    store.settle(vec![outcome(&again[0], State::Sent, CredentialFate::Spend)]).await;
    assert_eq!(pairs(&store.claim(BOUND, 9).await), [(other, "p".to_owned())], "the second use is free again");
}

async fn a_kept_credential_goes_out_again_though_its_end_is_near(mut store: Store) {
    let ends = NewCredential { expires_at: Some(NOON.after(SECOND)), ..permit("ann", "a") };
    let first = in_doubt(&mut store, ends, None).await;
    store.post(vec![permit("ann", "fresh")]).await;
    store.pass(HOUR);
    assert_eq!(pairs(&store.claim(BOUND, 9).await), [(first.message, "a".to_owned())]);
}

async fn a_kept_credential_is_spent_with_a_message_that_is_withdrawn(mut store: Store) {
    let first = in_doubt(&mut store, permit("ann", "a"), None).await;
    let operations = vec![act(Event::Hold, first.message), act(Event::Cancel, first.message)];
    store.commit(Batch { operations, ..Batch::default() }).await;
    assert_eq!(store.state(first.message).await, State::Cancelled);
    assert_eq!(store.ledger().await, [(0, None)]);
}

async fn a_kept_credential_is_spent_with_a_message_that_expires(mut store: Store) {
    let first = in_doubt(&mut store, permit("ann", "a"), Some(HOUR)).await;
    store.pass(HOUR);
    store.commit(Batch::default()).await;
    assert_eq!(store.state(first.message).await, State::Expired);
    assert_eq!(store.ledger().await, [(0, None)]);
}

async fn what_is_left_of_a_kept_credential_wakes_who_waits(mut store: Store) {
    let first = in_doubt(&mut store, prepay("ann", "p"), Some(HOUR * 3)).await;
    let second = store.accept_one(BOUND, "ann").await;
    assert!(store.claim(BOUND, 9).await.is_empty());
    let operations = vec![act(Event::Cancel, first.message)];
    let batch = Batch { operations, claims: vec![store.room(BOUND, 9)], ..Batch::default() };
    let claimed = store.commit(batch).await.claimed;
    assert_eq!(pairs(&claimed), [(second, "p".to_owned())]);
    // And once more, by the end of a message's time.
    let mut kept = outcome(&claimed[0], State::Scheduled, CredentialFate::Keep);
    kept.settlement.due_at = Some(NOON.after(DAY * 9));
    store.settle(vec![kept]).await;
    let third = NewMessage { expires_at: Some(NOON.after(HOUR)), ..store.message(BOUND, "ann") };
    let third = store.accept(vec![third]).await[0];
    store.claim(BOUND, 9).await;
    assert_eq!(store.state(third).await, State::Waiting);
    let batch = Batch { operations: vec![act(Event::Cancel, second)], ..Batch::default() };
    store.commit(batch).await;
    assert_eq!(store.state(third).await, State::Queued);
    let third = store.claim_one(BOUND).await;
    let mut kept = outcome(&third, State::Scheduled, CredentialFate::Keep);
    kept.settlement.due_at = Some(NOON.after(DAY));
    store.settle(vec![kept]).await;
    store.post(vec![NewCredential { uses: 2, ..permit("ben", "b") }]).await;
    let late = NewMessage { expires_at: Some(NOON.after(HOUR)), ..store.message(BOUND, "ben") };
    store.accept(vec![late]).await;
    let late = store.claim_one(BOUND).await;
    let mut kept = outcome(&late, State::Scheduled, CredentialFate::Keep);
    kept.settlement.due_at = Some(NOON.after(DAY));
    store.settle(vec![kept]).await;
    let ben = store.accept_one(BOUND, "ben").await;
    assert!(store.claim(BOUND, 9).await.is_empty());
    store.pass(HOUR);
    assert_eq!(pairs(&store.claim(BOUND, 9).await), [(ben, "b".to_owned())]);
}

async fn a_refused_withdrawal_leaves_the_credential_with_the_attempt(mut store: Store) {
    store.post(vec![prepay("ann", "p")]).await;
    let id = store.accept_one(BOUND, "ann").await;
    let claimed = store.claim_one(BOUND).await;
    let other = store.accept_one(FREE, "ann").await;
    let operations = vec![act(Event::Cancel, id), act(Event::Cancel, other)];
    store.commit(Batch { operations, ..Batch::default() }).await;
    assert_eq!(store.state(other).await, State::Cancelled);
    assert_eq!(store.ledger().await, [(3, Some(id))]);
    assert_eq!(store.settle(vec![outcome(&claimed, State::Sent, CredentialFate::Spend)]).await, [true]);
    assert_eq!(store.ledger().await, [(2, None)]);
}

async fn none_left_empties_the_sisters_of_that_user_and_scope(mut store: Store) {
    let shipped = NewCredential { scope: Some("scope-shipped".to_owned()), ..grant("ann") };
    let any = NewCredential { scope: None, ..grant("ann") };
    store
        .post(vec![grant("ann"), grant("ann"), grant("ann"), shipped, any, grant("ben"), of(FORM_ID, grant("ann"))])
        .await;
    let messages = vec![store.message(BOUND, "ann"), store.message(BOUND, "ann")];
    let accepted = store.accept(messages).await;
    let mut room = store.room(BOUND, 9);
    room.needs = Some(store.needs(&[GRANT]));
    let claimed = store.commit(Batch { claims: vec![room], ..Batch::default() }).await.claimed;
    assert_eq!(ids(&claimed), accepted);
    store.settle(vec![outcome(&claimed[0], State::Queued, CredentialFate::DropAll)]).await;
    let left: Vec<i64> = store.ledger().await.into_iter().map(|row| row.0).collect();
    assert_eq!(left, [0, 1, 0, 1, 1, 1, 1], "the one that is on its way is settled with its message");
    store.settle(vec![outcome(&claimed[1], State::Unknown, CredentialFate::DropAll)]).await;
    let left: Vec<i64> = store.ledger().await.into_iter().map(|row| row.0).collect();
    assert_eq!(left, [0, 0, 0, 1, 1, 1, 1]);
}

async fn none_left_says_nothing_of_a_grant_that_came_after_the_send(mut store: Store) {
    store.post(vec![grant("ann")]).await;
    let sent = store.message(BOUND, "ann");
    store.accept(vec![sent]).await;
    let mut room = store.room(BOUND, 9);
    room.needs = Some(store.needs(&[GRANT]));
    let claimed = store.commit(Batch { claims: vec![room.clone()], ..Batch::default() }).await.claimed;
    store.pass(SECOND);
    store.post(vec![grant("ann")]).await;
    store.settle(vec![outcome(&claimed[0], State::Queued, CredentialFate::DropAll)]).await;
    let again = store.commit(Batch { claims: vec![room], ..Batch::default() }).await.claimed;
    assert_eq!(ids(&again), ids(&claimed), "it goes out with the later grant");
}

async fn a_start_asks_everybody_again_who_waits_beside_a_credential(mut store: Store) {
    store.post(vec![NewCredential { expires_at: Some(NOON.after(HOUR)), ..permit("ann", "a") }]).await;
    let id = store.accept_one(BOUND, "ann").await;
    store.accept_one(BOUND, "ben").await;
    let mut room = store.room(BOUND, 9);
    room.needs.iter_mut().flat_map(|needs| &mut needs.sources).for_each(|rule| rule.margin = DAY);
    let claimed = store.commit(Batch { claims: vec![room], ..Batch::default() }).await.claimed;
    assert!(claimed.is_empty(), "within the margin of its end nothing is bound");
    assert_eq!(waiting(&store).await, 2);
    store.commit(Batch { wake_all: true, ..Batch::default() }).await;
    assert_eq!((store.state(id).await, waiting(&store).await), (State::Queued, 1));
}

async fn a_kept_credential_is_settled_though_its_channel_needs_none_any_more(mut store: Store) {
    let first = in_doubt(&mut store, permit("ann", "a"), None).await;
    store.pass(HOUR);
    let claims = vec![ClaimRequest { needs: None, ..store.room(BOUND, 1) }];
    let claimed = store.commit(Batch { claims, ..Batch::default() }).await.claimed;
    assert_eq!(ids(&claimed), [first.message]);
    store.settle(vec![outcome(&claimed[0], State::Sent, CredentialFate::Spend)]).await;
    assert_eq!(store.ledger().await, [(0, None)]);
}

async fn a_source_named_twice_offers_each_credential_once(mut store: Store) {
    store.post(vec![permit("ann", "a")]).await;
    let messages = vec![store.message(BOUND, "ann"), store.message(BOUND, "ann")];
    let accepted = store.accept(messages).await;
    let mut room = store.room(BOUND, 9);
    let Needs { app, sources, scopes } = store.needs(&[FORM_ID, FORM_ID]);
    room.needs = Some(Needs { app, sources, scopes });
    let claimed = store.commit(Batch { claims: vec![room], ..Batch::default() }).await.claimed;
    assert_eq!(ids(&claimed), accepted[..1]);
}

async fn a_value_that_was_posted_before_is_repeated_whatever_became_of_it(mut store: Store) {
    let intake = store.post(vec![permit("ann", "a"), permit("ann", "a"), permit("ben", "a")]).await.credentials;
    assert!(matches!(intake[0], CredentialIntake::New(_)));
    assert_eq!(intake[1..], [CredentialIntake::Repeated; 2]);
    store.accept_one(BOUND, "ann").await;
    let claimed = store.claim_one(BOUND).await;
    assert_eq!(store.post(vec![permit("ann", "a")]).await.credentials, [CredentialIntake::Repeated], "bound");
    store.settle(vec![outcome(&claimed, State::Sent, CredentialFate::Spend)]).await;
    assert_eq!(store.post(vec![permit("ann", "a")]).await.credentials, [CredentialIntake::Repeated], "used");
    let mut store = store.crash().await;
    assert_eq!(store.post(vec![permit("ann", "a")]).await.credentials, [CredentialIntake::Repeated], "remembered");
    let other = NewCredential { app: AppName::new("other").unwrap(), ..permit("ann", "a") };
    let intake = store.post(vec![other, of(PREPAY, permit("ann", "a"))]).await.credentials;
    assert!(intake.iter().all(|intake| matches!(intake, CredentialIntake::New(_))), "another app's, another source's");
    assert_eq!(store.ledger().await, [(0, None), (1, None), (1, None)]);
}

async fn credentials_without_identity_are_all_new(mut store: Store) {
    let intake = store.post(vec![grant("ann"), grant("ann")]).await.credentials;
    let [CredentialIntake::New(first), CredentialIntake::New(second)] = intake[..] else {
        panic!("two grants are two, found {intake:?}");
    };
    assert!(first < second);
    let mut store = store.crash().await;
    let [CredentialIntake::New(third)] = store.post(vec![grant("ann")]).await.credentials[..] else {
        panic!("a third is a third");
    };
    assert!(second < third);
}

async fn purge(store: &mut Store) -> (u32, u32) {
    let (mut sweep, mut gone) = (Some(Sweep::Credentials { after: 0 }), (0, 0));
    while let Some(slice) = sweep {
        let mut swept = store.commit(Batch { sweeps: vec![slice], ..Batch::default() }).await.swept;
        let swept = swept.remove(0);
        gone = (gone.0 + swept.unused, gone.1 + swept.removed - swept.unused);
        sweep = swept.next;
    }
    gone
}

async fn stale_credentials_are_removed_and_used_ones_remembered(mut store: Store) {
    let forever = NewCredential { expires_at: None, ..permit("ben", "forever") };
    store.post(vec![permit("ann", "used"), permit("ann", "stale"), forever]).await;
    store.accept_one(BOUND, "ann").await;
    let claimed = store.claim_one(BOUND).await;
    store.settle(vec![outcome(&claimed, State::Sent, CredentialFate::Spend)]).await;
    assert_eq!(purge(&mut store).await, (0, 0));
    store.pass(DAY);
    assert_eq!(purge(&mut store).await, (1, 0), "what ended unused");
    assert_eq!(store.post(vec![permit("ann", "used")]).await.credentials, [CredentialIntake::Repeated]);
    store.pass(CREDENTIAL_MEMORY - DAY - SECOND);
    assert_eq!(purge(&mut store).await, (0, 0));
    store.pass(SECOND);
    assert_eq!(purge(&mut store).await, (0, 1), "what was used long ago");
    assert_eq!(store.ledger().await, [(1, None)], "one that never ends stays");
}

async fn a_used_credential_is_remembered_to_its_end_however_far_that_is(mut store: Store) {
    let yearly = NewCredential { expires_at: Some(NOON.after(CREDENTIAL_MEMORY * 3)), ..permit("ann", "yearly") };
    store.post(vec![yearly.clone()]).await;
    store.accept_one(BOUND, "ann").await;
    let claimed = store.claim_one(BOUND).await;
    store.settle(vec![outcome(&claimed, State::Sent, CredentialFate::Spend)]).await;
    store.pass(CREDENTIAL_MEMORY * 2);
    assert_eq!(purge(&mut store).await, (0, 0));
    assert_eq!(store.post(vec![yearly]).await.credentials, [CredentialIntake::Repeated]);
    store.pass(CREDENTIAL_MEMORY);
    assert_eq!(purge(&mut store).await, (0, 1));
}

async fn a_page_of_those_who_wait_goes_on_after_the_last(mut store: Store) {
    let messages = ["ben", "ann", "ben"].map(|to| store.message(BOUND, to)).into();
    let accepted: Vec<_> = store.accept(messages).await;
    let committed = store.commit(Batch { claims: vec![store.room(BOUND, 9)], ..Batch::default() }).await;
    let waiting = store.reader.waiting(None).await.unwrap();
    let order: Vec<_> = waiting.iter().map(|row| (row.recipient.as_str(), row.message)).collect();
    assert_eq!(order, [("ann", accepted[1]), ("ben", accepted[0]), ("ben", accepted[2])]);
    assert!(waiting.iter().all(|row| committed.waiting.contains(row)), "the commit says the same");
    let after = ("ben".to_owned(), accepted[0]);
    assert_eq!(store.reader.waiting(Some(&after)).await.unwrap(), waiting[2..]);
}

async fn a_bound_credential_is_never_purged(mut store: Store) {
    store.post(vec![permit("ann", "a")]).await;
    let id = store.accept_one(BOUND, "ann").await;
    store.claim_one(BOUND).await;
    store.pass(CREDENTIAL_MEMORY * 2);
    assert_eq!(purge(&mut store).await, (0, 0));
    assert_eq!(store.ledger().await, [(1, Some(id))]);
}

async fn a_purge_takes_a_slice_at_a_time(mut store: Store) {
    let permits = |from: u32| (from..from + SWEEP_ROWS_MAX).map(|n| permit("ann", &n.to_string())).collect();
    store.post(permits(0)).await;
    store.post(permits(SWEEP_ROWS_MAX).into_iter().take(7).collect::<Vec<_>>()).await;
    store.accept_one(FREE, "ann").await;
    store.pass(DAY);
    let batch = Batch { sweeps: vec![Sweep::Credentials { after: 0 }], ..Batch::default() };
    let swept = store.commit(batch).await.swept.remove(0);
    assert_eq!((swept.removed, swept.unused), (SWEEP_ROWS_MAX, SWEEP_ROWS_MAX));
    let batch = Batch { sweeps: vec![swept.next.expect("there is more")], ..Batch::default() };
    let swept = store.commit(batch).await.swept.remove(0);
    assert_eq!((swept.removed, swept.unused, swept.next), (7, 7, None));
}

async fn of_very_many_permits_the_soonest_to_end_go_first_and_the_older_of_two(mut store: Store) {
    let end = |n: u32| NOON.after(DAY + SECOND * (2000 - n / 2));
    let hoard = |n: u32| NewCredential { expires_at: Some(end(n)), ..permit("ann", &n.to_string()) };
    for from in [0, 500, 1000] {
        store.post((from..from + 500).map(hoard).collect()).await;
    }
    let messages = vec![store.message(BOUND, "ann"); 3];
    let ids = store.accept(messages).await;
    let bound = pairs(&store.claim(BOUND, 3).await);
    let values: Vec<&str> = bound.iter().map(|pair| pair.1.as_str()).collect();
    assert_eq!(values, ["1498", "1499", "1496"]);
    assert_eq!(bound.iter().map(|pair| pair.0).collect::<Vec<_>>(), ids);
}
