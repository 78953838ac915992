//! Recipients in logs: enough to find them again with the store at hand, too little to write to anybody.

use std::borrow::Cow;

/// Shorter ones are masked whole, and not looked for in texts: they may be any word.
const CHARACTERS_MIN: usize = 6;

/// A recipient for a log: its first two and its last two characters.
pub fn masked(recipient: &str) -> String {
    let characters: Vec<char> = recipient.chars().collect();
    if characters.len() < CHARACTERS_MIN {
        return "…".to_owned();
    }
    let ends = [&characters[..2], &['…'], &characters[characters.len() - 2..]];
    ends.concat().into_iter().collect()
}

/// A text of somebody else, as a provider's answer, with the recipient masked in it.
pub fn without<'a>(text: &'a str, recipient: &str) -> Cow<'a, str> {
    if recipient.chars().count() < CHARACTERS_MIN || !text.contains(recipient) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace(recipient, &masked(recipient)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipient_is_known_by_its_ends_and_a_short_one_not_at_all() {
        assert_eq!(masked("oABC123def456"), "oA…56");
        assert_eq!(masked("张伟@example.测试"), "张伟…测试");
        assert_eq!(masked("alice"), "…");
        assert_eq!(masked(""), "…");
    }

    #[test]
    fn a_provider_that_names_the_recipient_is_not_quoted_in_full() {
        assert_eq!(without("no such user oABC123def456.", "oABC123def456"), "no such user oA…56.");
        assert_eq!(without("nobody", "body"), "nobody");
        assert!(matches!(without("fine", "oABC123def456"), Cow::Borrowed("fine")));
    }
}
