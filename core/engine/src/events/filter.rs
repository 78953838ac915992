//! Who wants to be told what: kinds by their words or groups of them, and channels.

use tidings_model::spelling::nearest;

use super::{EventKind, Happened};

/// Words of a filter. More than there are kinds says nothing more.
const WORDS_MAX: usize = 64;

/// What somebody wants to be told. The default is everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFilter {
    kinds: u64,
    /// Only what happens to these channels and their messages; what belongs to no channel is then left out.
    channels: Vec<String>,
}

impl Default for EventFilter {
    fn default() -> EventFilter {
        EventFilter { kinds: u64::MAX, channels: Vec::new() }
    }
}

impl EventFilter {
    /// Reads words as in `message.sent`, `message.*`, `*`; no words for every kind, no channels for all of them.
    ///
    /// # Errors
    ///
    /// A word that is no kind and no group of kinds, with the nearest that is one.
    pub fn read<'a>(
        words: impl IntoIterator<Item = &'a str>,
        channels: impl IntoIterator<Item = String>,
    ) -> Result<EventFilter, String> {
        let mut kinds = 0;
        let mut count = 0;
        for word in words {
            kinds |= bits(word)?;
            count += 1;
            if count > WORDS_MAX {
                return Err(format!("more than {WORDS_MAX} event types are named"));
            }
        }
        let channels: Vec<String> = channels.into_iter().collect();
        Ok(EventFilter { kinds: if count == 0 { u64::MAX } else { kinds }, channels })
    }

    /// Whether that is wanted.
    pub fn wants(&self, happened: &Happened) -> bool {
        self.kinds & happened.kind.bit() != 0
            && (self.channels.is_empty()
                || happened.channel().is_some_and(|name| self.channels.iter().any(|one| one == name)))
    }

    /// The kinds it lets through.
    pub fn kinds(&self) -> impl Iterator<Item = EventKind> {
        EventKind::ALL.into_iter().filter(|kind| self.kinds & kind.bit() != 0)
    }

    /// The channels it is limited to; none if it is not.
    pub fn channels(&self) -> &[String] {
        &self.channels
    }
}

/// The kinds that a word means.
fn bits(word: &str) -> Result<u64, String> {
    if word == "*" {
        return Ok(u64::MAX);
    }
    let means = |kind: &EventKind| match word.strip_suffix('*') {
        Some(group) => group.ends_with('.') && kind.as_str().starts_with(group),
        None => kind.as_str() == word,
    };
    match EventKind::ALL.iter().filter(|kind| means(kind)).fold(0, |bits, kind| bits | kind.bit()) {
        0 => Err(unknown(word)),
        bits => Ok(bits),
    }
}

fn unknown(word: &str) -> String {
    let known: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
    let shown = word.chars().take(64).flat_map(char::escape_default).collect::<String>();
    match nearest(word, &known) {
        Some(right) => format!("there is no event type `{shown}`; did you mean `{right}`?"),
        None => {
            format!("there is no event type `{shown}`; there are groups, as in `message.*`, and: {}", known.join(", "))
        }
    }
}
