//! form_ids and prepay_ids as a phone would make them: bound to one user, few uses, seven days (`wechat.md §2`).

use std::collections::HashMap;

use crate::codes::{FORM_ID_USED, Refusal, WRONG_FORM_ID};
use crate::limits::{FORM_ID_USES, PERMIT_LIFE_MS, PERMITS_MAX, PREPAY_ID_USES};
use crate::random::SplitMix;

/// Which of the two a permit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PermitKind {
    FormId,
    PrepayId,
}

/// All permits of all apps. Used ones are remembered, because "used" and "wrong" are different answers.
#[derive(Debug, Default)]
pub(crate) struct Permits {
    known: HashMap<Box<str>, Permit>,
}

#[derive(Debug)]
struct Permit {
    app: usize,
    openid: Box<str>,
    ready_at_ms: i64,
    expires_at_ms: i64,
    uses_left: u8,
}

impl Permits {
    /// Makes a permit for a user; `None` when no more can be remembered.
    pub(crate) fn mint(
        &mut self,
        kind: PermitKind,
        app: usize,
        openid: &str,
        prepay_ready_after_ms: i64,
        now_ms: i64,
        random: &mut SplitMix,
    ) -> Option<String> {
        if self.known.len() >= PERMITS_MAX {
            self.known.retain(|_, permit| permit.expires_at_ms > now_ms);
            if self.known.len() >= PERMITS_MAX {
                return None;
            }
        }
        let (id, uses_left, ready_after_ms) = match kind {
            PermitKind::FormId => (random.form_id(), FORM_ID_USES, 0),
            PermitKind::PrepayId => (random.prepay_id(), PREPAY_ID_USES, prepay_ready_after_ms),
        };
        let permit = Permit {
            app,
            openid: openid.into(),
            ready_at_ms: now_ms.saturating_add(ready_after_ms),
            expires_at_ms: now_ms.saturating_add(PERMIT_LIFE_MS),
            uses_left,
        };
        self.known.insert(id.as_str().into(), permit);
        Some(id)
    }

    /// Takes one use. Nothing is taken when it refuses.
    ///
    /// `wechat.md §2`: 41028 is wrong, expired or another user's; 41029 is used up. An expired one is 41028 even when used
    /// up, so the two can be told apart for seven days and not longer.
    pub(crate) fn take(&mut self, id: &str, app: usize, openid: &str, now_ms: i64) -> Result<(), Refusal> {
        let permit = self.known.get_mut(id).ok_or(WRONG_FORM_ID)?;
        let theirs = permit.app == app && *permit.openid == *openid;
        let in_time = (permit.ready_at_ms..permit.expires_at_ms).contains(&now_ms);
        if !theirs || !in_time {
            return Err(WRONG_FORM_ID);
        }
        permit.uses_left = permit.uses_left.checked_sub(1).ok_or(FORM_ID_USED)?;
        Ok(())
    }
}
