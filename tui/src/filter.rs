//! The filter language: which messages a list, or an act on many, is for.
//!
//! Words with a name before them, as in `state:failed channel:orders newer:2h`; a name of a state stands for itself. What
//! it does not know it refuses: a filter that means less than was typed would be for more messages than was meant.

use tidings_api::wire::BulkFilter;

/// The names that may stand before a word, in the order in which a filter is written.
pub(crate) const NAMES: &[&str] = &["state", "channel", "template", "to", "reason", "newer", "older"];
/// The states of messages.
pub(crate) const STATES: &[&str] = &[
    "scheduled",
    "queued",
    "waiting",
    "sending",
    "held",
    "sent",
    "delivered",
    "failed",
    "unknown",
    "expired",
    "cancelled",
];

/// Which messages. Empty is for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// By place in [`NAMES`].
    values: Box<[Option<String>; NAMES.len()]>,
}

/// Why a text is no filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FilterError {
    /// There is no such name.
    UnknownName(String),
    /// There is no such state.
    UnknownState(String),
    /// A name stands there twice.
    Twice(String),
    /// A name stands there with nothing behind it.
    Empty(String),
    /// A reason without a state beside it.
    ReasonWithoutState,
}

impl Filter {
    /// Reads it.
    pub(crate) fn parse(text: &str) -> Result<Filter, FilterError> {
        let mut filter = Filter::default();
        for word in words(text) {
            let (name, value) = match word.split_once(':') {
                Some((name, value)) => (name.to_owned(), value.to_owned()),
                None => ("state".to_owned(), word),
            };
            let name = match name.as_str() {
                "since" => "newer",
                "until" => "older",
                "recipient" => "to",
                other => other,
            };
            let index = NAMES
                .iter()
                .position(|known| *known == name)
                .ok_or_else(|| FilterError::UnknownName(name.to_owned()))?;
            if value.is_empty() {
                return Err(FilterError::Empty(name.to_owned()));
            }
            if name == "state" && !STATES.contains(&value.as_str()) {
                return Err(FilterError::UnknownState(value));
            }
            if filter.values[index].replace(value).is_some() {
                return Err(FilterError::Twice(name.to_owned()));
            }
        }
        if filter.get("reason").is_some() && filter.get("state").is_none() {
            return Err(FilterError::ReasonWithoutState);
        }
        Ok(filter)
    }

    /// For the messages of one channel.
    pub(crate) fn of_channel(name: &str) -> Filter {
        Filter::default().with("channel", name)
    }

    /// The same with that word in it too.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Filter {
        if let Some(index) = NAMES.iter().position(|known| *known == name) {
            self.values[index] = Some(value.to_owned());
        }
        self
    }

    /// How it is written.
    pub(crate) fn text(&self) -> String {
        let words: Vec<String> = NAMES
            .iter()
            .zip(self.values.iter())
            .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}:{}", quoted(value))))
            .collect();
        words.join(" ")
    }

    /// Whether it is for all messages.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.iter().all(Option::is_none)
    }

    /// The value behind a name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let index = NAMES.iter().position(|known| *known == name)?;
        self.values[index].as_deref()
    }

    /// As the query of a list.
    pub(crate) fn query(&self) -> Vec<(&'static str, String)> {
        const PARAMETERS: [&str; NAMES.len()] =
            ["state", "channel", "template", "to", "reason", "newer_than", "older_than"];
        PARAMETERS
            .into_iter()
            .zip(self.values.iter())
            .filter_map(|(parameter, value)| value.clone().map(|value| (parameter, value)))
            .collect()
    }

    /// As the filter of an act on many.
    pub(crate) fn bulk(&self) -> BulkFilter {
        let get = |name| self.get(name).map(str::to_owned);
        BulkFilter {
            state: get("state"),
            channel: get("channel"),
            template: get("template"),
            to: get("to"),
            reason: get("reason"),
            run: None,
            newer_than: get("newer"),
            older_than: get("older"),
        }
    }
}

/// The words of a text: apart by blanks, but for those between quotes. Full-width signs mean what their plain ones do.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut begun) = (Vec::new(), String::new(), false, false);
    for character in text.chars() {
        match character {
            '"' | '“' | '”' | '＂' => (quoted, begun) = (!quoted, true),
            '：' if !quoted => {
                word.push(':');
                begun = true;
            }
            other if other.is_whitespace() && !quoted => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            other => {
                word.push(other);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

fn quoted(value: &str) -> String {
    if value.chars().any(char::is_whitespace) { format!("\"{value}\"") } else { value.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_read_and_written_alike() {
        for (text, canonical) in [
            ("", ""),
            ("failed", "state:failed"),
            ("channel:orders state:failed newer:2h", "state:failed channel:orders newer:2h"),
            ("since:2h  until:1h", "newer:2h older:1h"),
            ("to:\"li wei\" template:a:b", "template:a:b to:\"li wei\""),
            ("channel：短信-华东\u{3000}failed", "state:failed channel:短信-华东"),
        ] {
            let filter = Filter::parse(text).unwrap();
            assert_eq!(filter.text(), canonical, "{text}");
            assert_eq!(Filter::parse(canonical), Ok(filter), "{text}");
        }
    }

    #[test]
    fn what_is_not_known_is_refused_and_never_left_out() {
        for (text, error) in [
            ("colour:red", FilterError::UnknownName("colour".to_owned())),
            ("broken", FilterError::UnknownState("broken".to_owned())),
            ("state:dead", FilterError::UnknownState("dead".to_owned())),
            ("to:a to:b", FilterError::Twice("to".to_owned())),
            ("failed state:sent", FilterError::Twice("state".to_owned())),
            ("channel:", FilterError::Empty("channel".to_owned())),
            ("reason:timeout", FilterError::ReasonWithoutState),
        ] {
            assert_eq!(Filter::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_list_and_an_act_are_for_the_same_messages() {
        let filter = Filter::parse("failed channel:a template:b to:c reason:d newer:2h older:1h").unwrap();
        let bulk = filter.bulk();
        let of_bulk = [bulk.state, bulk.channel, bulk.template, bulk.to, bulk.reason, bulk.newer_than, bulk.older_than];
        let of_list: Vec<Option<String>> = filter.query().into_iter().map(|(_, value)| Some(value)).collect();
        assert_eq!(of_list, of_bulk);
    }
}
