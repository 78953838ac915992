//! The people of one app: whether they follow it, and the subscription grants they gave (`wechat.md §3`, §4).

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::limits::{GRANT_TEMPLATES_MAX, OPENID_BYTES_MAX, USERS_MAX};

/// How a user stands to an app. A user nobody marked is following.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserState {
    /// Reachable.
    #[default]
    Following,
    /// 43004 at service-account templates (`wechat.md §4`); mini-programs have no followers and do not mind.
    Unfollowed,
    /// 43019 at service-account templates (`wechat.md §4`), 43101 at subscription messages (`wechat.md §3`: withdrew).
    Blocked,
    /// Sends are accepted and do not arrive: the receipt says so (`failed:user block`, `wechat.md §4`).
    Refusing,
    /// The openid belongs to another app: 40003 everywhere (`wechat.md §0`).
    Foreign,
}

/// Users of one app that are not plainly following, or hold grants.
#[derive(Debug, Default)]
pub(crate) struct Users {
    known: HashMap<Box<str>, User>,
}

#[derive(Debug, Default)]
struct User {
    state: UserState,
    // A counter for each template: accepts accumulate and do not expire (wechat.md §3). Users hold few templates.
    grants: Vec<(Box<str>, u64)>,
}

impl Users {
    pub(crate) fn state(&self, openid: &str) -> UserState {
        self.known.get(openid).map_or(UserState::Following, |user| user.state)
    }

    /// Fails, with `None`, when no more users can be remembered.
    pub(crate) fn set_state(&mut self, openid: &str, state: UserState) -> Option<()> {
        self.entry(openid)?.state = state;
        Some(())
    }

    /// Adds grants and returns how many there are now; `None` when no more can be remembered.
    pub(crate) fn grant(&mut self, openid: &str, template_id: &str, count: u64) -> Option<u64> {
        let user = self.entry(openid)?;
        if let Some((_, left)) = user.grants.iter_mut().find(|(template, _)| **template == *template_id) {
            *left = left.saturating_add(count);
            return Some(*left);
        }
        if user.grants.len() >= GRANT_TEMPLATES_MAX {
            return None;
        }
        user.grants.push((template_id.into(), count));
        Some(count)
    }

    /// Takes all grants of a template back.
    pub(crate) fn withdraw(&mut self, openid: &str, template_id: &str) {
        if let Some(user) = self.known.get_mut(openid) {
            user.grants.retain(|(template, _)| **template != *template_id);
        }
    }

    /// Takes one grant; false when there is none.
    pub(crate) fn use_grant(&mut self, openid: &str, template_id: &str) -> bool {
        let grants = self.known.get_mut(openid).map(|user| user.grants.as_mut_slice()).unwrap_or_default();
        match grants.iter_mut().find(|(template, _)| **template == *template_id) {
            Some((_, left)) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }

    fn entry(&mut self, openid: &str) -> Option<&mut User> {
        if !self.known.contains_key(openid) {
            if self.known.len() >= USERS_MAX {
                return None;
            }
            self.known.insert(openid.into(), User::default());
        }
        self.known.get_mut(openid)
    }
}

/// Any text of 1 to 64 visible ASCII characters may be an openid.
pub(crate) fn is_openid(text: &str) -> bool {
    (1..=OPENID_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
