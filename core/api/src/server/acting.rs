//! Who makes a change: the caller, and over the local socket the person at the terminal as well.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use tidings_engine::By;

use super::caller::Caller;
use super::problem::{Refused, unauthorised};
use crate::wire::USER_HEADER;

/// Characters of a user's name that are kept.
const USER_CHARS_MAX: usize = 32;

/// Whoever makes a call that changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Acting {
    who: String,
}

impl Acting {
    /// The caller, for this reason.
    pub(super) fn by(&self, why: Option<String>) -> Result<By, Refused> {
        Ok(By::new(self.who.as_str(), why)?)
    }
}

impl<S: Sync> FromRequestParts<S> for Acting {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Acting, Refused> {
        let caller = parts.extensions.get::<Caller>().ok_or_else(unauthorised)?;
        let user = parts.headers.get(USER_HEADER).and_then(|value| value.to_str().ok()).and_then(user);
        Ok(Acting { who: who(&caller.name, user.filter(|_| caller.local)) })
    }
}

/// Over the socket a person is named by the client, not proven: whoever may open the file may say any name. It stands in
/// brackets behind what is proven.
fn who(name: &str, user: Option<&str>) -> String {
    user.map_or_else(|| name.to_owned(), |user| format!("{name} ({user})"))
}

/// A name as systems have it; anything else is none.
fn user(text: &str) -> Option<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    (!text.is_empty() && text.len() <= USER_CHARS_MAX && text.chars().all(is_name)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_named_behind_what_is_proven() {
        assert_eq!(who("local", user("alice")), "local (alice)");
        assert_eq!(who("local", None), "local");
        for wrong in ["", "a b", "a)", "x".repeat(33).as_str(), "\u{1b}[2J"] {
            assert_eq!(user(wrong), None, "{wrong:?}");
        }
    }
}
