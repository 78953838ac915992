//! Texts without the secrets that may stand in them: a provider echoes what it was sent, a plugin tells what it was given.

/// Bytes a secret has at least to be looked for: shorter ones are in half of all words, and removing them would garble
/// the text.
pub const SECRET_BYTES_MIN: usize = 4;

/// What stands where a secret stood.
pub const LEFT_OUT: &str = "…";

/// The text without these secrets. The longest go first: one may be the beginning of another, and its rest would stay.
pub fn without<'a>(text: String, secrets: impl IntoIterator<Item = &'a str>) -> String {
    let is_there = |secret: &&str| secret.len() >= SECRET_BYTES_MIN && text.contains(*secret);
    let mut there: Vec<&str> = secrets.into_iter().filter(is_there).collect();
    there.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
    there.into_iter().fold(text, |text, secret| text.replace(secret, LEFT_OUT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_secret_is_left_out_wherever_it_stands() {
        let text = "a CANARY-1 b CANARY-1, CANARY-2".to_owned();
        assert_eq!(without(text, ["CANARY-1", "CANARY-2", "nowhere"]), "a … b …, …");
    }

    #[test]
    fn nothing_stays_of_a_secret_that_begins_with_another() {
        for secrets in [["75_abcd", "75_abcd-the-rest"], ["75_abcd-the-rest", "75_abcd"]] {
            assert_eq!(without("token 75_abcd-the-rest, permit 75_abcd".to_owned(), secrets), "token …, permit …");
        }
    }

    #[test]
    fn what_is_too_short_is_no_secret() {
        assert_eq!(without("abc, abcd".to_owned(), ["abc", ""]), "abc, abcd");
    }
}
