//! What a caller of our API may do.

use std::fmt;

/// One thing that a key may be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Send messages.
    Send,
    /// Bring credentials.
    Collect,
    /// Look at everything that is no secret.
    Read,
    /// Change what is there: retry, cancel, pause, refresh.
    Operate,
}

impl Scope {
    /// All of them, in the order they are told.
    pub const ALL: [Scope; 4] = [Scope::Send, Scope::Collect, Scope::Read, Scope::Operate];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Send => "send",
            Scope::Collect => "collect",
            Scope::Read => "read",
            Scope::Operate => "operate",
        }
    }

    /// The scope with that word.
    pub fn from_name(word: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of scopes.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// Every scope.
    pub const ALL: Scopes = Scopes(0b1111);

    /// Whether the scope is one of them.
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & bit(scope) != 0
    }

    /// Whether there is nothing in it that is not in the other.
    pub fn is_within(self, other: Scopes) -> bool {
        self.0 & !other.0 == 0
    }

    /// The scopes with these words; the first word that is none, if there is one.
    pub fn from_words<'w>(words: impl IntoIterator<Item = &'w str>) -> Result<Scopes, &'w str> {
        words.into_iter().map(|word| Scope::from_name(word).ok_or(word)).collect()
    }

    /// Them, in the order they are told.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }
}

fn bit(scope: Scope) -> u8 {
    1 << (scope as u8)
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Scopes {
        Scopes(scopes.into_iter().fold(0, |set, scope| set | bit(scope)))
    }
}

impl fmt::Display for Scopes {
    /// Their words with a comma between them: `send,read`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, scope) in self.iter().enumerate() {
            write!(f, "{}{scope}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_contains_what_was_put_in_and_nothing_else() {
        assert_eq!(Scope::ALL.into_iter().collect::<Scopes>(), Scopes::ALL);
        for one in Scope::ALL {
            let only: Scopes = [one].into_iter().collect();
            assert!(Scope::ALL.into_iter().all(|other| only.contains(other) == (other == one)), "{one}");
            assert_eq!(Scope::from_name(one.as_str()), Some(one));
        }
        assert_eq!(Scopes::default().iter().count(), 0);
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        assert_eq!(Scopes::from_words(["read", "send"]).map(|scopes| scopes.to_string()), Ok("send,read".to_owned()));
        assert_eq!(Scopes::from_words(Scopes::ALL.to_string().split(',')), Ok(Scopes::ALL));
        assert_eq!(Scopes::from_words(["read", "admin"]), Err("admin"));
    }

    #[test]
    fn a_set_is_within_those_that_have_all_of_it() {
        let [send, read]: [Scopes; 2] = [[Scope::Send].into_iter().collect(), [Scope::Read].into_iter().collect()];
        assert!(send.is_within(send) && send.is_within(Scopes::ALL) && Scopes::default().is_within(send));
        assert!(!send.is_within(read) && !Scopes::ALL.is_within(send));
    }
}
