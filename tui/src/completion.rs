//! What Tab makes of a filter or a command that is being typed: the word at its end, as far as it can only be one thing.

use crate::filter::Grammar;
use crate::keys::{self, Action, BINDINGS};
use crate::page::Kind;

/// Candidates that are named where there are several.
const NAMED_MAX: usize = 12;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Completion {
    /// The whole text, as far as it is certain.
    pub(crate) text: String,
    /// What it may go on as, where that is not certain.
    pub(crate) candidates: Vec<String>,
}

/// Names that the engine has.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Known<'a> {
    /// Of its channels.
    pub(crate) channels: &'a [&'a str],
    /// Of its schedules.
    pub(crate) schedules: &'a [&'a str],
}

/// Completes a filter of that kind.
pub(crate) fn of_filter(text: &str, grammar: &Grammar, engine: Known<'_>) -> Completion {
    let (before, word) = last_word(text);
    let is_named = |name: &str| grammar.names.iter().any(|(known, _)| *known == name);
    let valued =
        |name: &str, values: &[&str]| values.iter().map(|value| format!("{name}:{} ", quoted(value))).collect();
    let known: Vec<String> = match word.split_once(':') {
        Some((name, _)) if !is_named(name) => Vec::new(),
        Some((name @ "state", _)) => valued(name, grammar.states),
        Some((name @ "channel", _)) => valued(name, engine.channels),
        Some((name @ "schedule", _)) => valued(name, engine.schedules),
        Some(_) => Vec::new(),
        None => {
            let names = grammar.names.iter().map(|(name, _)| format!("{name}:"));
            names.chain(grammar.states.iter().map(|state| format!("{state} "))).collect()
        }
    };
    complete(before, word, known)
}

/// Completes a command on that page: its name, and behind the name of a list its filter.
pub(crate) fn of_command(text: &str, kind: Kind, engine: Known<'_>) -> Completion {
    if let Some((name, filter)) = text.split_once(' ') {
        let grammar = match name {
            "filter" => kind.grammar(),
            name => {
                Kind::TOPS.iter().find(|top| keys::of(Action::Go(**top)).name == name).and_then(|top| top.grammar())
            }
        };
        if let Some(grammar) = grammar {
            let Completion { text, candidates } = of_filter(filter, grammar, engine);
            return Completion { text: format!("{name} {text}"), candidates };
        }
    }
    let names = BINDINGS.iter().filter(|binding| binding.is_on(kind)).map(|binding| format!("{} ", binding.name));
    complete("", text, names.collect())
}

fn complete(before: &str, word: &str, known: Vec<String>) -> Completion {
    let mut fitting: Vec<String> = known.into_iter().filter(|known| known.starts_with(word)).collect();
    let Some(first) = fitting.first() else {
        return Completion { text: format!("{before}{word}"), candidates: Vec::new() };
    };
    let common = fitting.iter().skip(1).fold(first.as_str(), |common, other| common_start(common, other));
    let text = format!("{before}{common}");
    if fitting.len() == 1 {
        fitting.clear();
    }
    fitting.truncate(NAMED_MAX);
    Completion { text, candidates: fitting.iter().map(|known| known.trim_end().to_owned()).collect() }
}

fn common_start<'a>(one: &'a str, other: &str) -> &'a str {
    let end = one.char_indices().zip(other.chars()).find(|((_, a), b)| a != b).map(|((index, _), _)| index);
    &one[..end.unwrap_or(one.len().min(other.len()))]
}

/// The text before its last word, and the word.
fn last_word(text: &str) -> (&str, &str) {
    let start = text
        .rfind(char::is_whitespace)
        .map_or(0, |index| index + text[index..].chars().next().map_or(1, char::len_utf8));
    text.split_at(start)
}

fn quoted(value: &str) -> String {
    if value.chars().any(char::is_whitespace) { format!("\"{value}\"") } else { value.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter;

    const ENGINE: Known<'_> = Known {
        channels: &["短信-华东", "短信-华北", "order-updates"],
        schedules: &["每日对账", "keep-token"],
    };

    fn filter(text: &str) -> (String, usize) {
        let Completion { text, candidates } = of_filter(text, filter::MESSAGES, ENGINE);
        (text, candidates.len())
    }

    #[test]
    fn what_can_only_be_one_thing_is_completed_and_the_rest_is_named() {
        for (text, completed, candidates) in [
            ("fa", "failed ", 0),
            ("st", "state:", 0),
            ("state:un", "state:unknown ", 0),
            ("failed chan", "failed channel:", 0),
            ("failed channel:短", "failed channel:短信-华", 2),
            ("channel:o", "channel:order-updates ", 0),
            ("se", "sen", 2),
            ("to:ali", "to:ali", 0),
            ("zzz", "zzz", 0),
            ("中\u{3000}he", "中\u{3000}held ", 0),
        ] {
            assert_eq!(filter(text), (completed.to_owned(), candidates), "{text}");
        }
        assert_eq!(filter("").1, NAMED_MAX);
    }

    #[test]
    fn a_command_is_completed_by_the_table_and_then_by_the_filter() {
        let complete = |text| of_command(text, Kind::Messages, ENGINE).text;
        assert_eq!(complete("retry-"), "retry-matching ");
        assert_eq!(complete("messages fai"), "messages failed ");
        assert_eq!(of_command("retry", Kind::Overview, ENGINE).text, "retry", "it means nothing there");
        assert_eq!(complete("runs schedule:k"), "runs schedule:keep-token ");
        assert_eq!(complete("audit w"), "audit who:");
        assert_eq!(complete("runs channel:o"), "runs channel:o", "runs have no channel");
    }
}
