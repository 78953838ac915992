//! The rules of the ledger: what a permit is, when it may be used, and which message gets which.

use std::collections::HashMap;
use std::time::Duration;

use crate::time::Timestamp;

/// What is true of every credential of one source. Said by the plugin that owns the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CredentialKind {
    /// How long one lives after it was made; `None` for ever.
    pub life: Option<Duration>,
    /// How many messages one carries.
    pub uses: u32,
    /// Whether the provider tells "used up" from "invalid", so that a second try with the same one shows whether
    /// the first arrived.
    pub proves_use: bool,
    /// Whether the provider keeps a counter per recipient and scope instead of single permits: "none left" then
    /// speaks of them all.
    pub counted_by_provider: bool,
    /// For how long after its intake the provider may not know it yet: "invalid" is then no verdict.
    pub ripens_in: Duration,
    /// Whether a credential is for one scope (a template of the provider) only.
    pub scoped: bool,
}

/// What a decision needs to know of a bound credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CredentialFacts {
    /// The rules of its source.
    pub kind: CredentialKind,
    /// When it ends; `None` never.
    pub expires_at: Option<Timestamp>,
    /// When it was taken in.
    pub taken_at: Timestamp,
}

/// Until when a credential that ends at `expires_at` may be bound, that instant excluded: not within `margin` of its
/// end, because the message may have to be tried again with it. `None` for ever.
pub fn usable_until(expires_at: Option<Timestamp>, margin: Duration) -> Option<Timestamp> {
    expires_at.map(|end| end.before(margin))
}

/// Whether a credential that ends at `expires_at` may be bound now.
pub fn is_usable(expires_at: Option<Timestamp>, margin: Duration, now: Timestamp) -> bool {
    usable_until(expires_at, margin).is_none_or(|until| now < until)
}

/// The same as a store asks for it: what ends after this instant, or never, may be bound now.
pub fn usable_if_ends_after(margin: Duration, now: Timestamp) -> Timestamp {
    now.after(margin)
}

/// Whether a permit for that scope (`None` for any) serves a template of this one.
pub fn fits(permit: Option<&str>, scope: &str) -> bool {
    permit.is_none_or(|of| of == scope)
}

/// A message that needs a permit, in the order of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need<'a, M> {
    /// Which message.
    pub message: M,
    /// Whose.
    pub recipient: &'a str,
    /// The provider's scope of its template.
    pub scope: &'a str,
}

/// A permit that is free, usable, and of a source the channel takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit<'a, C> {
    /// Which credential.
    pub credential: C,
    /// Whose.
    pub recipient: &'a str,
    /// The one scope it is for; `None` for any.
    pub scope: Option<&'a str>,
    /// When it ends; `None` never.
    pub expires_at: Option<Timestamp>,
}

/// Gives each need a permit of its own recipient and scope, soonest to expire first, each permit to one need only.
/// The answer has one entry per need, in the same order; `None` where nothing fits.
///
/// Needs are served in the order they stand. A permit for any scope and one for the very scope compete by their end
/// alone: what would be lost first is used first.
pub fn bind<M, C: Copy>(needs: &[Need<'_, M>], permits: &[Permit<'_, C>]) -> Vec<Option<C>> {
    let mut of_recipient: HashMap<&str, Vec<(usize, bool)>> = HashMap::new();
    for (index, permit) in permits.iter().enumerate() {
        of_recipient.entry(permit.recipient).or_default().push((index, false));
    }
    for stock in of_recipient.values_mut() {
        stock.sort_by_key(|(index, _)| (permits[*index].expires_at.unwrap_or(Timestamp(i64::MAX)), *index));
    }
    needs
        .iter()
        .map(|need| {
            let stock = of_recipient.get_mut(need.recipient)?;
            let serves = |index: usize| fits(permits[index].scope, need.scope);
            let (index, taken) = stock.iter_mut().find(|(index, taken)| !taken && serves(*index))?;
            *taken = true;
            Some(permits[*index].credential)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn need<'a>(message: usize, recipient: &'a str, scope: &'a str) -> Need<'a, usize> {
        Need { message, recipient, scope }
    }

    fn permit<'a>(
        credential: usize,
        recipient: &'a str,
        scope: Option<&'a str>,
        end: Option<i64>,
    ) -> Permit<'a, usize> {
        Permit { credential, recipient, scope, expires_at: end.map(Timestamp) }
    }

    #[test]
    fn the_soonest_to_expire_goes_first() {
        let permits =
            [permit(1, "ann", None, None), permit(2, "ann", None, Some(90)), permit(3, "ann", None, Some(50))];
        let needs = [need(1, "ann", "t"), need(2, "ann", "t"), need(3, "ann", "t"), need(4, "ann", "t")];
        assert_eq!(bind(&needs, &permits), [Some(3), Some(2), Some(1), None]);
    }

    #[test]
    fn nobody_uses_anothers_permit() {
        assert_eq!(bind(&[need(1, "ann", "t")], &[permit(1, "ben", None, None)]), [None]);
    }

    #[test]
    fn a_grant_for_one_template_is_not_used_for_another() {
        let permits = [permit(1, "ann", Some("a"), None)];
        assert_eq!(bind(&[need(1, "ann", "b"), need(2, "ann", "a")], &permits), [None, Some(1)]);
    }

    #[test]
    fn a_permit_is_not_used_within_the_margin_of_its_end() {
        let day = Duration::from_secs(86_400);
        assert!(is_usable(Some(Timestamp(86_400_001)), day, Timestamp(0)));
        assert!(!is_usable(Some(Timestamp(86_400_000)), day, Timestamp(0)));
        assert!(is_usable(None, day, Timestamp(i64::MAX)));
    }

    #[test]
    fn a_store_that_asks_by_the_end_finds_the_same_permits() {
        let margin = Duration::from_millis(50);
        for end in 0..200 {
            let now = Timestamp(100);
            let found = Timestamp(end) > usable_if_ends_after(margin, now);
            assert_eq!(found, is_usable(Some(Timestamp(end)), margin, now), "{end}");
        }
    }

    proptest! {
        #[test]
        fn no_permit_serves_two_needs_and_none_is_left_that_would_have_fitted(
            needs in proptest::collection::vec((0u8..3, 0u8..3), 0..20),
            permits in proptest::collection::vec((0u8..3, proptest::option::of(0u8..3), proptest::option::of(0i64..9)), 0..20),
        ) {
            const WHO: [&str; 3] = ["ann", "ben", "cho"];
            const WHAT: [&str; 3] = ["a", "b", "c"];
            let needs: Vec<_> = needs.iter().enumerate()
                .map(|(i, (who, what))| need(i, WHO[*who as usize], WHAT[*what as usize])).collect();
            let permits: Vec<_> = permits.iter().enumerate()
                .map(|(i, (who, what, end))| permit(i, WHO[*who as usize], what.map(|w| WHAT[w as usize]), *end)).collect();
            let bound = bind(&needs, &permits);
            let mut used: Vec<usize> = bound.iter().flatten().copied().collect();
            let count = used.len();
            used.sort_unstable();
            used.dedup();
            prop_assert_eq!(used.len(), count);
            for (need, bound) in needs.iter().zip(&bound) {
                match bound {
                    Some(id) => prop_assert_eq!(permits[*id].recipient, need.recipient),
                    None => prop_assert!(!permits.iter().any(|p| !used.contains(&p.credential)
                        && p.recipient == need.recipient && p.scope.is_none_or(|s| s == need.scope))),
                }
            }
        }
    }
}
