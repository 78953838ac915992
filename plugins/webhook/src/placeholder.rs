//! Texts of config with `{name}` in them, and what stands in for the names.
//!
//! A value is put in once and never looked at again: braces in a message's data are braces. A brace that begins no
//! placeholder is a brace, too, so JSON and CSS need no care.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tidings_sdk::{App, Delivery};

/// Who is told.
pub(crate) const RECIPIENT: &str = "recipient";
/// The app's secret.
pub(crate) const SECRET: &str = "secret";
/// The same for every try of a message, and for no other message.
pub(crate) const DEDUPE_ID: &str = "dedupe_id";
/// The names that a template cannot give.
pub(crate) const OWN: [&str; 3] = [RECIPIENT, SECRET, DEDUPE_ID];

/// A text in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern<'a> {
    pub(crate) pieces: Vec<Piece<'a>>,
}

/// A piece of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// As it stands.
    Literal(&'a str),
    /// What stands in for `{name}` or `{name:form}`.
    Name {
        /// The name.
        name: &'a str,
        /// What follows the colon; empty for none.
        form: &'a str,
    },
}

impl<'a> Pattern<'a> {
    /// Takes a text apart.
    pub(crate) fn of(text: &'a str) -> Pattern<'a> {
        let (mut pieces, mut literal, mut place) = (Vec::new(), 0, 0);
        while let Some(open) = text[place..].find('{').map(|at| place + at) {
            place = open + 1;
            let Some(close) = text[place..].find('}').map(|at| place + at) else { break };
            let (name, form) = text[place..close].split_once(':').unwrap_or((&text[place..close], ""));
            if !is_name(name) || !form.chars().all(|c| c.is_ascii_lowercase()) {
                continue;
            }
            if literal < open {
                pieces.push(Piece::Literal(&text[literal..open]));
            }
            pieces.push(Piece::Name { name, form });
            (literal, place) = (close + 1, close + 1);
        }
        if literal < text.len() {
            pieces.push(Piece::Literal(&text[literal..]));
        }
        Pattern { pieces }
    }

    /// The names in it, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Name { name, .. } => Some(*name),
            Piece::Literal(_) => None,
        })
    }

    /// The text, each value as `write` has it.
    pub(crate) fn fill(
        &self,
        fillings: &Fillings<'_>,
        mut write: impl FnMut(&str, &str) -> Result<String, String>,
    ) -> Result<String, String> {
        let mut filled = String::new();
        for piece in &self.pieces {
            match *piece {
                Piece::Literal(text) => filled.push_str(text),
                Piece::Name { form, .. } if !form.is_empty() => return Err(format!("has `:{form}` outside of JSON")),
                Piece::Name { name, .. } => filled.push_str(&write(name, fillings.get(name)?)?),
            }
        }
        Ok(filled)
    }
}

/// Whether it can stand in braces.
pub(crate) fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(fits)
}

/// What is wrong with `{{ … }}` where nothing fills it in: it would be sent as it stands.
pub(crate) fn check_braces(text: &str) -> Result<(), String> {
    let fills = text.split_once("{{").is_some_and(|(_, rest)| rest.contains("}}"));
    if fills {
        return Err(
            "has `{{ … }}`, which is filled in under `values` of the template alone; write `{text}` here, and \
                    `values = { text = \"{{ … }}\" }` there"
                .to_owned(),
        );
    }
    Ok(())
}

/// What stands in for the names.
#[derive(Clone)]
pub(crate) struct Fillings<'a> {
    own: [&'a str; 3],
    values: BTreeMap<&'a str, &'a str>,
}

impl<'a> Fillings<'a> {
    /// What a delivery has.
    pub(crate) fn of(delivery: &Delivery<'a>) -> Fillings<'a> {
        Fillings::new(delivery.app, delivery.recipient, delivery.dedupe_id, delivery.content)
    }

    /// What a message would have.
    pub(crate) fn new(
        app: &'a App,
        recipient: &'a str,
        dedupe_id: &'a str,
        content: &'a Map<String, Value>,
    ) -> Fillings<'a> {
        let table = content.get("values").and_then(Value::as_object).into_iter().flatten();
        let values = table.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))).collect();
        Fillings { own: [recipient, app.settings.text(SECRET), dedupe_id], values }
    }

    /// The names that the template gives.
    pub(crate) fn given(&self) -> impl Iterator<Item = &'a str> {
        self.values.keys().copied()
    }

    /// What stands in for `name`, or why nothing does.
    pub(crate) fn get(&self, name: &str) -> Result<&'a str, String> {
        let own = OWN.iter().position(|own| *own == name).map(|place| self.own[place]);
        if name == SECRET && own == Some("") {
            return Err("has `{secret}`, and the app has no `secret`".to_owned());
        }
        own.or_else(|| self.values.get(name).copied()).ok_or_else(|| {
            let known: Vec<&str> = OWN.into_iter().chain(self.given()).collect();
            let near = tidings_sdk::spelling::nearest(name, &known);
            let hint = near.map_or_else(String::new, |near| format!("; did you mean `{{{near}}}`?"));
            let given: Vec<String> = self.given().map(|name| format!("`{name}`")).collect();
            let given = if given.is_empty() { "none".to_owned() } else { given.join(", ") };
            format!("has `{{{name}}}`, which is none of `values` of the template ({given}){hint}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{app, object};
    use serde_json::json;

    #[track_caller]
    fn check(text: &str, expected: &[Piece<'_>]) {
        assert_eq!(Pattern::of(text).pieces, expected, "{text}");
    }

    #[test]
    fn a_text_is_taken_apart_at_its_placeholders() {
        use Piece::Literal;
        let name = |name| Piece::Name { name, form: "" };
        check("", &[]);
        check("plain", &[Literal("plain")]);
        check("{a}", &[name("a")]);
        check("a{b}c{d-e_1}", &[Literal("a"), name("b"), Literal("c"), name("d-e_1")]);
        check("{n:number}", &[Piece::Name { name: "n", form: "number" }]);
    }

    #[test]
    fn a_brace_that_begins_no_placeholder_is_a_brace() {
        for text in ["{", "}", "{}", "{ a }", "{1}", "{a b}", "{a", "a}", "{\"k\": 1}", "body { color: red }", "{a:B}"]
        {
            check(text, &[Piece::Literal(text)]);
        }
        check("{x y {a}", &[Piece::Literal("{x y "), Piece::Name { name: "a", form: "" }]);
        check("ü{ü}ü{a}", &[Piece::Literal("ü{ü}ü"), Piece::Name { name: "a", form: "" }]);
    }

    #[test]
    fn a_value_is_put_in_once() {
        let (app, content) = (app(json!({})), object(json!({"values": {"a": "{b}", "b": "no"}})));
        let fillings = Fillings::new(&app, "ann", "7", &content);
        let filled = Pattern::of("{a} {recipient} {dedupe_id}").fill(&fillings, |_, value| Ok(value.to_owned()));
        assert_eq!(filled, Ok("{b} ann 7".to_owned()));
    }

    #[test]
    fn an_unknown_name_is_told_with_the_known_ones_and_the_nearest() {
        let (app, content) = (app(json!({})), object(json!({"values": {"text": "x"}})));
        let problem = Fillings::new(&app, "", "", &content).get("txet").unwrap_err();
        assert_eq!(problem, "has `{txet}`, which is none of `values` of the template (`text`); did you mean `{text}`?");
    }

    #[test]
    fn what_only_a_template_fills_in_is_found_where_nothing_would() {
        assert!(check_braces("{\"a\": \"{{ text }}\"}").is_err());
        assert_eq!(check_braces("{\"a\": {\"b\": \"{text}\"}}"), Ok(()));
    }
}
