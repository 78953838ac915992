//! The filter language: which rows a list, or which messages an act on many, is for.
//!
//! Words with a name before them, as in `state:failed channel:orders newer:2h`; the name that a list's grammar says may be
//! left out. What it does not know it refuses: a filter that means less than was typed would be for more than was meant.

use tidings_api::wire::BulkFilter;

use crate::words::{Language, Word};

/// What may stand in a filter of one kind of list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Grammar {
    /// The names that may stand before a word, in the order in which a filter is written, each with the parameter of the API.
    pub(crate) names: &'static [(&'static str, &'static str)],
    /// The states there are.
    pub(crate) states: &'static [&'static str],
    /// The name that a word without one has.
    pub(crate) bare: &'static str,
}

/// Of messages.
pub(crate) const MESSAGES: &Grammar = &Grammar {
    names: &[
        ("state", "state"),
        ("channel", "channel"),
        ("template", "template"),
        ("to", "to"),
        ("reason", "reason"),
        ("newer", "newer_than"),
        ("older", "older_than"),
    ],
    states: &[
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
    ],
    bare: "state",
};
/// Of runs.
pub(crate) const RUNS: &Grammar = &Grammar {
    names: &[("state", "run_state"), ("schedule", "schedule")],
    states: &["running", "done", "failed", "cancelled", "interrupted"],
    bare: "state",
};
/// Of the record of changes.
pub(crate) const AUDIT: &Grammar = &Grammar {
    names: &[("act", "act"), ("who", "who"), ("subject", "subject"), ("newer", "since")],
    states: &[],
    bare: "act",
};
/// Of lists that take none.
pub(crate) const NOTHING: &Grammar = &Grammar { names: &[], states: &[], bare: "" };

/// Which rows. Empty is for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    grammar: &'static Grammar,
    /// By place among the grammar's names.
    values: Box<[Option<String>]>,
}

impl Default for Filter {
    fn default() -> Filter {
        Filter::all(MESSAGES)
    }
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

/// Why a text is no filter, in words.
pub(crate) fn sentence(error: &FilterError, language: Language) -> String {
    match error {
        FilterError::UnknownName(name) => Word::FilterUnknownName.with(language, &[name]),
        FilterError::UnknownState(state) => Word::FilterUnknownState.with(language, &[state]),
        FilterError::Twice(name) => Word::FilterTwice.with(language, &[name]),
        FilterError::Empty(name) => Word::FilterEmpty.with(language, &[name]),
        FilterError::ReasonWithoutState => Word::FilterReason.text(language).to_owned(),
    }
}

impl Filter {
    /// For all rows of such a list.
    pub(crate) fn all(grammar: &'static Grammar) -> Filter {
        Filter { grammar, values: vec![None; grammar.names.len()].into() }
    }

    /// Reads one of messages.
    #[cfg(test)]
    pub(crate) fn parse(text: &str) -> Result<Filter, FilterError> {
        Filter::of(MESSAGES, text)
    }

    /// Reads it.
    pub(crate) fn of(grammar: &'static Grammar, text: &str) -> Result<Filter, FilterError> {
        let mut filter = Filter::all(grammar);
        for word in words(text) {
            let (name, value) = match word.split_once(':') {
                Some((name, value)) => (name.to_owned(), value.to_owned()),
                None => (grammar.bare.to_owned(), word),
            };
            let name = match name.as_str() {
                "since" => "newer",
                "until" => "older",
                "recipient" => "to",
                other => other,
            };
            let index = grammar.place(name).ok_or_else(|| FilterError::UnknownName(name.to_owned()))?;
            if value.is_empty() {
                return Err(FilterError::Empty(name.to_owned()));
            }
            if name == "state" && !grammar.states.contains(&value.as_str()) {
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
        if let Some(index) = self.grammar.place(name) {
            self.values[index] = Some(value.to_owned());
        }
        self
    }

    /// How it is written.
    pub(crate) fn text(&self) -> String {
        let words: Vec<String> = self
            .grammar
            .names
            .iter()
            .zip(self.values.iter())
            .filter_map(|((name, _), value)| value.as_ref().map(|value| format!("{name}:{}", quoted(value))))
            .collect();
        words.join(" ")
    }

    /// Whether it is for all rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.iter().all(Option::is_none)
    }

    /// The value behind a name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values[self.grammar.place(name)?].as_deref()
    }

    /// As the query of a list.
    pub(crate) fn query(&self) -> Vec<(&'static str, String)> {
        let pairs = self.grammar.names.iter().zip(self.values.iter());
        pairs.filter_map(|((_, parameter), value)| value.clone().map(|value| (*parameter, value))).collect()
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

impl Grammar {
    /// Its names, with an example where a value has a form of its own.
    pub(crate) fn hint(&self) -> String {
        let names = self.names.iter().map(|(name, _)| match *name {
            "newer" => "newer:2h".to_owned(),
            "older" => "older:1h".to_owned(),
            name => format!("{name}:"),
        });
        names.collect::<Vec<String>>().join(" ")
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|(known, _)| *known == name)
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
    fn runs_and_changes_have_their_own_words() {
        let runs = Filter::of(RUNS, "schedule:\"每日 对账\" failed").unwrap();
        assert_eq!(runs.text(), "state:failed schedule:\"每日 对账\"");
        assert_eq!(runs.query(), [("run_state", "failed".to_owned()), ("schedule", "每日 对账".to_owned())]);
        assert_eq!(Filter::of(RUNS, "sent"), Err(FilterError::UnknownState("sent".to_owned())));
        assert_eq!(Filter::of(RUNS, "newer:2h"), Err(FilterError::UnknownName("newer".to_owned())));
        let audit = Filter::of(AUDIT, "channel.pause since:2h who:ops").unwrap();
        assert_eq!(audit.text(), "act:channel.pause who:ops newer:2h");
        assert_eq!(audit.query()[2], ("since", "2h".to_owned()));
        assert_eq!(Filter::of(NOTHING, "x"), Err(FilterError::UnknownName(String::new())));
        let states = tidings_model::run::RunState::ALL.map(tidings_model::run::RunState::as_str);
        assert_eq!(RUNS.states, states);
        let states = tidings_model::state::State::ALL.map(tidings_model::state::State::as_str);
        assert_eq!(MESSAGES.states, states);
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
