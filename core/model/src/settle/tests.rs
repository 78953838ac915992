use proptest::prelude::*;

use super::*;
use crate::credential::CredentialKind;

const NOW: Timestamp = Timestamp(1_000_000_000);

const FORM_ID: CredentialKind = CredentialKind {
    life: Some(Duration::from_secs(7 * 86_400)),
    uses: 1,
    proves_use: true,
    counted_by_provider: false,
    ripens_in: Duration::ZERO,
    scoped: false,
};

const GRANT: CredentialKind = CredentialKind {
    life: None,
    uses: 1,
    proves_use: false,
    counted_by_provider: true,
    ripens_in: Duration::ZERO,
    scoped: true,
};

fn policy(on_unknown: OnUnknown) -> Policy {
    Policy { attempts_max: 3, backoff: Backoff::default(), on_unknown }
}

fn attempt(kind: Option<CredentialKind>, ambiguous: bool) -> Attempt {
    Attempt {
        number: 1,
        rescues: 0,
        ambiguous,
        credential: kind.map(|kind| {
            let expires_at = Some(NOW.after(Duration::from_secs(86_400)));
            CredentialFacts { kind, expires_at, taken_at: NOW.before(Duration::from_secs(30)) }
        }),
        dedupe_until: None,
        expires_at: None,
    }
}

fn decide(outcome: Outcome, attempt: Attempt) -> Settlement {
    settle(&outcome, &attempt, &policy(OnUnknown::Stop), NOW, Random(u64::MAX / 2))
}

fn detail() -> String {
    "said so".to_owned()
}

#[test]
fn an_accepted_message_is_sent_and_its_credential_spent() {
    let settlement = decide(Outcome::Accepted { provider_id: Some("7".into()) }, attempt(Some(FORM_ID), false));
    assert_eq!((settlement.to, settlement.credential), (State::Sent, CredentialFate::Spend));
    assert_eq!((settlement.reason, settlement.provider_id.as_deref()), (None, Some("7")));
}

#[test]
fn after_an_ambiguous_try_a_form_id_goes_out_again_with_the_same_message() {
    let settlement = decide(Outcome::Unknown { detail: detail() }, attempt(Some(FORM_ID), false));
    assert_eq!((settlement.to, settlement.credential), (State::Scheduled, CredentialFate::Keep));
    assert!(settlement.ambiguous);
}

#[test]
fn used_means_that_the_ambiguous_try_arrived() {
    let settlement = decide(Outcome::CredentialSpent { detail: detail() }, attempt(Some(FORM_ID), true));
    assert_eq!((settlement.to, settlement.reason), (State::Sent, Some("arrived_before")));
}

#[test]
fn used_proves_nothing_for_a_credential_of_several_uses() {
    let prepay = CredentialKind { uses: 3, proves_use: false, ..FORM_ID };
    let settlement = decide(Outcome::CredentialSpent { detail: detail() }, attempt(Some(prepay), true));
    assert_eq!((settlement.to, settlement.reason), (State::Unknown, Some("credential_spent")));
}

#[test]
fn a_credential_the_provider_may_not_know_yet_is_tried_again_and_not_thrown_away() {
    let prepay = CredentialKind { uses: 3, proves_use: false, ripens_in: Duration::from_secs(60), ..FORM_ID };
    let young = decide(Outcome::CredentialInvalid { detail: detail() }, attempt(Some(prepay), false));
    assert_eq!((young.to, young.credential), (State::Scheduled, CredentialFate::GiveBack));
    assert!(young.due_at >= Some(NOW.after(Duration::from_secs(10))));
    let ripe = CredentialKind { ripens_in: Duration::from_secs(20), ..prepay };
    let old = decide(Outcome::CredentialInvalid { detail: detail() }, attempt(Some(ripe), false));
    assert_eq!(old.credential, CredentialFate::Drop);
}

#[test]
fn a_refused_credential_where_none_was_bound_fails_the_message_instead_of_looping() {
    for outcome in [Outcome::CredentialSpent { detail: detail() }, Outcome::CredentialInvalid { detail: detail() }] {
        assert_eq!(decide(outcome, attempt(None, false)).to, State::Failed);
    }
}

#[test]
fn used_before_the_first_try_costs_the_credential_and_not_the_message() {
    let settlement = decide(Outcome::CredentialSpent { detail: detail() }, attempt(Some(FORM_ID), false));
    assert_eq!((settlement.to, settlement.credential), (State::Queued, CredentialFate::Drop));
    assert!(!settlement.counts);
}

#[test]
fn invalid_and_not_used_means_that_the_ambiguous_try_did_not_arrive() {
    let settlement = decide(Outcome::CredentialInvalid { detail: detail() }, attempt(Some(FORM_ID), true));
    assert_eq!((settlement.to, settlement.credential), (State::Queued, CredentialFate::Drop));
    assert!(!settlement.ambiguous);
}

#[test]
fn invalid_says_nothing_once_the_credential_has_expired() {
    let mut late = attempt(Some(FORM_ID), true);
    late.credential = Some(CredentialFacts { kind: FORM_ID, expires_at: Some(NOW), taken_at: Timestamp(0) });
    assert_eq!(decide(Outcome::CredentialInvalid { detail: detail() }, late).to, State::Unknown);
}

#[test]
fn no_grant_left_after_an_ambiguous_try_stays_unknown_and_takes_no_other_grant() {
    let settlement = decide(Outcome::CredentialInvalid { detail: detail() }, attempt(Some(GRANT), true));
    assert_eq!((settlement.to, settlement.credential), (State::Unknown, CredentialFate::DropAll));
}

#[test]
fn no_grant_left_empties_the_ledger_for_that_user_and_template() {
    let settlement = decide(Outcome::CredentialInvalid { detail: detail() }, attempt(Some(GRANT), false));
    assert_eq!((settlement.to, settlement.credential), (State::Queued, CredentialFate::DropAll));
}

#[test]
fn a_grant_after_an_ambiguous_try_follows_on_unknown() {
    let unknown = Outcome::Unknown { detail: detail() };
    let stop = settle(&unknown, &attempt(Some(GRANT), false), &policy(OnUnknown::Stop), NOW, Random(0));
    assert_eq!((stop.to, stop.credential), (State::Unknown, CredentialFate::Spend));
    let retry = settle(&unknown, &attempt(Some(GRANT), false), &policy(OnUnknown::Retry), NOW, Random(0));
    assert_eq!((retry.to, retry.credential), (State::Scheduled, CredentialFate::Keep));
}

#[test]
fn a_dedupe_id_is_retried_inside_its_window_and_not_after() {
    let unknown = Outcome::Unknown { detail: detail() };
    let mut inside = attempt(None, false);
    inside.dedupe_until = Some(NOW.after(Duration::from_secs(600)));
    assert_eq!(decide(unknown.clone(), inside).to, State::Scheduled);
    inside.dedupe_until = Some(NOW.after(Duration::from_secs(1)));
    assert_eq!(decide(unknown, inside).to, State::Unknown);
}

#[test]
fn what_may_have_arrived_is_tried_again_only_where_a_second_copy_is_told_or_dropped() {
    let second = Duration::from_secs(1);
    let may = |attempt: Attempt, on_unknown| may_try(&attempt, &policy(on_unknown), second * 10, NOW);
    assert!(may(attempt(None, false), OnUnknown::Stop), "nothing can have arrived");
    assert!(may(attempt(Some(FORM_ID), true), OnUnknown::Stop), "used says that it arrived");
    assert!(!may(attempt(Some(GRANT), true), OnUnknown::Stop));
    assert!(may(attempt(Some(GRANT), true), OnUnknown::Retry), "the channel chose at least once");
    let until = |wait| Attempt { dedupe_until: Some(NOW.after(wait)), ..attempt(None, true) };
    assert!(may(until(second * 11), OnUnknown::Stop), "the whole attempt lies inside the window");
    assert!(!may(until(second * 10), OnUnknown::Stop), "it may end outside");
    assert!(!may(Attempt { dedupe_until: Some(NOW.before(second)), ..attempt(None, true) }, OnUnknown::Stop));
}

#[test]
fn a_throttle_cools_the_channel_and_not_the_message() {
    let outcome = Outcome::Throttled { retry_after: Some(Duration::from_secs(60)), detail: detail() };
    let settlement = decide(outcome, attempt(Some(FORM_ID), false));
    assert_eq!((settlement.to, settlement.counts), (State::Queued, false));
    assert_eq!(settlement.credential, CredentialFate::GiveBack);
    let until = NOW.after(Duration::from_secs(60));
    assert_eq!(settlement.lane, Some(LaneEffect::Cool { until, reason: detail() }));
}

#[test]
fn attempts_run_out_as_failed_or_unknown_by_what_may_have_arrived() {
    let mut last = attempt(Some(FORM_ID), false);
    last.number = 3;
    assert_eq!(decide(Outcome::Retry { after: None, detail: detail() }, last).to, State::Failed);
    assert_eq!(decide(Outcome::Unknown { detail: detail() }, last).to, State::Unknown);
}

#[test]
fn a_retry_that_would_come_too_late_expires_now() {
    let mut short = attempt(Some(FORM_ID), false);
    short.expires_at = Some(NOW.after(Duration::from_millis(1)));
    let settlement = decide(Outcome::Retry { after: None, detail: detail() }, short);
    assert_eq!((settlement.to, settlement.credential), (State::Expired, CredentialFate::GiveBack));
}

#[test]
fn the_third_crash_in_the_middle_of_a_message_holds_it() {
    let mut crashed = attempt(Some(FORM_ID), false);
    crashed.rescues = 2;
    let second = rescue(&crashed, &policy(OnUnknown::Stop), NOW, Random(0));
    assert_eq!((second.to, second.due_at, second.counts), (State::Scheduled, Some(NOW), false));
    crashed.rescues = 3;
    let third = rescue(&crashed, &policy(OnUnknown::Stop), NOW, Random(0));
    assert_eq!((third.to, third.reason), (State::Held, Some("crash_loop")));
    // The credential may have been used by the attempt that crashed: it stays with its message.
    assert_eq!((third.credential, third.ambiguous), (CredentialFate::Keep, true));
}

#[test]
fn a_token_that_is_refused_for_ever_halts_the_app_and_loses_no_message() {
    let mut last = attempt(Some(FORM_ID), false);
    last.number = 3;
    let settlement = decide(Outcome::TokenRejected { detail: detail() }, last);
    assert_eq!(settlement.to, State::Queued);
    assert!(matches!(settlement.lane, Some(LaneEffect::Halt { .. })));
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Accepted { provider_id: None }),
        Just(Outcome::Duplicate { detail: detail() }),
        Just(Outcome::Rejected { reason: detail() }),
        Just(Outcome::CredentialSpent { detail: detail() }),
        Just(Outcome::CredentialInvalid { detail: detail() }),
        Just(Outcome::RecipientGone { detail: detail() }),
        Just(Outcome::TokenRejected { detail: detail() }),
        Just(Outcome::Throttled { retry_after: None, detail: detail() }),
        Just(Outcome::QuotaExhausted { until: None, detail: detail() }),
        Just(Outcome::Retry { after: None, detail: detail() }),
        Just(Outcome::Unknown { detail: detail() }),
        Just(Outcome::TemplateBroken { detail: detail() }),
        Just(Outcome::Halt { reason: detail() }),
    ]
}

proptest! {
    /// The promises of the ledger, over every outcome and every history of the attempt.
    #[test]
    fn a_credential_that_may_have_been_used_never_goes_back_to_the_ledger(
        outcome in outcomes(), ambiguous: bool, number in 1u32..5, kind in 0usize..3, retry: bool,
        dedupe in proptest::option::of(0i64..2_000_000), expiry in proptest::option::of(0i64..2_000_000), random: u64,
    ) {
        let kind = [None, Some(FORM_ID), Some(GRANT)][kind];
        let attempt = Attempt {
            number,
            dedupe_until: dedupe.map(|ms| Timestamp(NOW.0 + ms)),
            expires_at: expiry.map(|ms| Timestamp(NOW.0 + ms)),
            ..attempt(kind, ambiguous)
        };
        let on_unknown = if retry { OnUnknown::Retry } else { OnUnknown::Stop };
        let settlement = settle(&outcome, &attempt, &policy(on_unknown), NOW, Random(random));
        prop_assert!(Event::ALL.into_iter().any(|on| next(State::Sending, on) == Ok(settlement.to)));
        let may_have_arrived = ambiguous || matches!(outcome, Outcome::Unknown { .. });
        if may_have_arrived {
            prop_assert_ne!(settlement.credential, CredentialFate::GiveBack);
        }
        prop_assert_eq!(settlement.due_at.is_some(), settlement.to == State::Scheduled);
        prop_assert_eq!(settlement.reason.is_none(), matches!(outcome, Outcome::Accepted { .. }));
        // A message whose fate is open ends as failed, expired or cancelled only if nothing can have arrived.
        let refused_without_credential = kind.is_none()
            && matches!(outcome, Outcome::CredentialSpent { .. } | Outcome::CredentialInvalid { .. });
        if may_have_arrived
            && !refused_without_credential
            && !matches!(outcome, Outcome::Rejected { .. } | Outcome::RecipientGone { .. })
        {
            prop_assert!(!matches!(settlement.to, State::Failed | State::Expired));
        }
    }
}
