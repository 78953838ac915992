//! The renderer `template`: strings of a template in config, filled in with minijinja, strictly.
//!
//! An unknown variable is an error, found when the config is checked and again when a message is accepted; by the time
//! of the send there is nothing left to find. A template cannot loop for ever: it has fuel.

use std::cell::LazyCell;
use std::collections::BTreeSet;
use std::fmt;

use minijinja::value::{Serde, Value as Filling};
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde_json::{Map, Value};
use tidings_sdk::{Part, percent_encode};

use crate::stages::{RendererStage, StageError};

/// Instructions one string of a template may take: a loop over a long order, not a loop for ever.
const FUEL: u64 = 100_000;

/// Bytes one rendered string may have.
const RENDERED_BYTES_MAX: usize = 64 * 1024;

/// Around each value put into a page, so that it can be encoded once it is known whether it stands in the query.
/// Private-use characters: they mean nothing, and values are cleaned of them.
const VALUE_START: char = '\u{f8f0}';
const VALUE_END: char = '\u{f8f1}';

/// What the names of pages begin with in the environment.
const PAGE: &str = "page:";

/// What is filled in for each message of a template.
#[derive(Debug)]
pub enum Body {
    /// Strings, by the engine's own renderer.
    Strings(Box<Rendering>),
    /// Strings, by a plugin.
    ByPlugin {
        /// As config has them.
        parts: Vec<(String, Part)>,
        /// Who fills them in.
        renderer: RendererStage,
    },
    /// Nobody knows: the plugin that says what the template's keys are is not there.
    Absent(String),
}

impl Body {
    /// Fills the template in.
    pub(crate) async fn render(&self, data: &Value) -> Result<Map<String, Value>, StageError> {
        match self {
            Body::Strings(rendering) => rendering.render(data).map_err(|error| StageError::Refused(error.to_string())),
            Body::ByPlugin { parts, renderer } => renderer.render(parts, data).await,
            Body::Absent(reason) => Err(StageError::Absent(reason.clone())),
        }
    }

    /// The same for config, which is read outside a runtime.
    pub(crate) fn render_now(&self, data: &Value) -> Result<Map<String, Value>, FillError> {
        match self {
            Body::Strings(rendering) => rendering.render(data).map_err(FillError::Render),
            Body::ByPlugin { parts, renderer } => renderer.render_now(parts, data),
            Body::Absent(reason) => Err(FillError::Trouble(reason.clone())),
        }
    }

    /// What is not filled in: template ids and the like.
    pub(crate) fn fixed(&self) -> Map<String, Value> {
        match self {
            Body::Strings(rendering) => rendering.fixed(),
            Body::ByPlugin { parts, .. } => fixed(parts),
            Body::Absent(_) => Map::new(),
        }
    }

    /// Data to try it with where config has no sample: each variable's own name. `None` where nobody knows the variables.
    pub(crate) fn placeholders(&self) -> Option<Value> {
        match self {
            Body::Strings(rendering) => Some(rendering.placeholders()),
            Body::ByPlugin { .. } | Body::Absent(_) => None,
        }
    }

    /// The variables the template asks for: `order.id`.
    pub fn variables(&self) -> BTreeSet<String> {
        match self {
            Body::Strings(rendering) => rendering.variables(),
            Body::ByPlugin { .. } | Body::Absent(_) => BTreeSet::new(),
        }
    }
}

/// Why a template was not filled in when config was read.
#[derive(Debug)]
pub(crate) enum FillError {
    /// The template is at fault.
    Render(RenderError),
    /// The plugin is.
    Trouble(String),
}

/// A template, compiled.
pub struct Rendering {
    environment: Environment<'static>,
    parts: Vec<(String, Compiled)>,
}

/// A part of a template, ready to be filled in: whatever can be known before there is data is looked up here once.
enum Compiled {
    Fixed(Value),
    Text(Text),
    Page(Text),
    Table(Vec<(String, Text)>),
}

/// One string of a template.
struct Text {
    /// What it is called in the environment.
    name: String,
    /// What people call it: `data.keyword1`.
    field: String,
    /// If it only puts values between words.
    plain: Option<Plain>,
}

impl fmt::Debug for Rendering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.parts.iter().map(|(key, _)| key)).finish()
    }
}

/// Why a template cannot be compiled or filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {problem}")]
pub struct RenderError {
    /// Which string: `data.keyword1`.
    pub field: String,
    /// What is wrong, without the values.
    pub problem: String,
}

impl Rendering {
    /// Compiles every string, and reports every one that cannot be.
    pub fn compile(parts: Vec<(String, Part)>) -> Result<Rendering, Vec<RenderError>> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|name| {
            if name.starts_with(PAGE) { AutoEscape::Custom("url".into()) } else { AutoEscape::None }
        });
        environment.set_formatter(|out, state, value| {
            let is_page = matches!(state.auto_escape(), AutoEscape::Custom(name) if name == "url");
            if !is_page || value.is_safe() {
                return minijinja::escape_formatter(out, state, value);
            }
            if value.is_undefined() {
                return Err(minijinja::Error::from(minijinja::ErrorKind::UndefinedError));
            }
            let text: String = value.to_string().chars().filter(|c| !matches!(*c, VALUE_START | VALUE_END)).collect();
            write!(out, "{VALUE_START}{text}{VALUE_END}").map_err(minijinja::Error::from)
        });
        let mut errors = Vec::new();
        let mut compile = |name: String, field: String, text: String| {
            let plain = Plain::of(&text);
            if let Err(error) = environment.add_template_owned(name.clone(), text) {
                errors.push(RenderError { field: field.clone(), problem: told(&error) });
            }
            Text { name, field, plain }
        };
        let compiled = parts.into_iter().map(|(key, part)| {
            let compiled = match part {
                Part::Fixed(value) => Compiled::Fixed(value),
                Part::Text(text) => Compiled::Text(compile(key.clone(), key.clone(), text)),
                Part::Page(text) => Compiled::Page(compile(format!("{PAGE}{key}"), key.clone(), text)),
                Part::Table(rows) => {
                    let row = |(name, text): (String, String)| {
                        let field = format!("{key}.{name}");
                        (name, compile(field.clone(), field, text))
                    };
                    Compiled::Table(rows.into_iter().map(row).collect())
                }
            };
            (key, compiled)
        });
        let parts = compiled.collect();
        if errors.is_empty() { Ok(Rendering { environment, parts }) } else { Err(errors) }
    }

    /// Fills the template in.
    pub fn render(&self, data: &Value) -> Result<Map<String, Value>, RenderError> {
        let filling = LazyCell::new(|| Filling::from(Serde(data)));
        let mut content = Map::new();
        for (key, part) in &self.parts {
            let value = match part {
                Compiled::Fixed(value) => value.clone(),
                Compiled::Text(text) => self.fill(text, data, &filling, false)?.into(),
                Compiled::Page(text) => encode_page(&self.fill(text, data, &filling, true)?).into(),
                Compiled::Table(rows) => {
                    let mut table = Map::new();
                    for (name, text) in rows {
                        table.insert(name.clone(), self.fill(text, data, &filling, false)?.into());
                    }
                    table.into()
                }
            };
            content.insert(key.clone(), value);
        }
        Ok(content)
    }

    /// What is not filled in.
    fn fixed(&self) -> Map<String, Value> {
        let fixed = |part: &Compiled| match part {
            Compiled::Fixed(value) => Some(value.clone()),
            _ => None,
        };
        self.parts.iter().filter_map(|(key, part)| Some((key.clone(), fixed(part)?))).collect()
    }

    /// The variables the template asks for: `order.id`.
    pub fn variables(&self) -> BTreeSet<String> {
        self.environment.templates().flat_map(|(_, template)| template.undeclared_variables(true)).collect()
    }

    /// Data that gives every variable its own name, for a check without a sample.
    pub fn placeholders(&self) -> Value {
        let mut data = Value::Object(Map::new());
        for variable in self.variables() {
            let mut place = &mut data;
            for step in variable.split('.') {
                if !place.is_object() {
                    *place = Value::Object(Map::new());
                }
                place = place.as_object_mut().expect("made an object just now").entry(step).or_insert(Value::Null);
            }
            if place.is_null() {
                *place = variable.as_str().into();
            }
        }
        data
    }

    fn fill<F: FnOnce() -> Filling>(
        &self,
        Text { name, field, plain }: &Text,
        data: &Value,
        filling: &LazyCell<Filling, F>,
        is_page: bool,
    ) -> Result<String, RenderError> {
        let failed = |problem: String| RenderError { field: field.clone(), problem };
        let text = match plain.as_ref().and_then(|plain| plain.fill(data, is_page)) {
            Some(text) => text,
            None => self.evaluate(name, filling).map_err(failed)?,
        };
        if text.len() > RENDERED_BYTES_MAX {
            return Err(failed(format!("is {} bytes; at most {RENDERED_BYTES_MAX} are sent", text.len())));
        }
        Ok(text)
    }

    fn evaluate(&self, name: &str, filling: &Filling) -> Result<String, String> {
        let template = self.environment.get_template(name).map_err(|error| told(&error))?;
        template.render(filling.clone()).map_err(|error| self.explain(&error, name, filling))
    }

    /// Names the variable that is missing, which minijinja does not.
    fn explain(&self, error: &minijinja::Error, name: &str, filling: &Filling) -> String {
        if error.kind() != minijinja::ErrorKind::UndefinedError {
            return told(error);
        }
        let wanted =
            self.environment.get_template(name).map(|template| template.undeclared_variables(true)).unwrap_or_default();
        let missing: BTreeSet<String> = wanted.into_iter().filter(|path| !has(filling, path)).collect();
        if missing.is_empty() {
            return told(error);
        }
        let names: Vec<String> = missing.iter().map(|path| format!("`{path}`")).collect();
        format!("the data has no {}", names.join(", "))
    }
}

/// A string of literal text and `{{ name.name }}`, and nothing else: most are, and filling them in by hand takes a tenth
/// of the time. Whatever is not a string or a whole number in the data is left to minijinja, and so is every mistake.
#[derive(Debug)]
struct Plain {
    pieces: Vec<Piece>,
    /// Bytes that it takes, more or less.
    about: usize,
}

/// Bytes of a value, more or less: an id, a name, an amount.
const VALUE_ABOUT: usize = 24;

#[derive(Debug)]
enum Piece {
    Literal(String),
    Variable(Vec<String>),
}

/// Names that are no variables, or none of ours.
const NO_VARIABLES: [&str; 10] = ["true", "false", "none", "True", "False", "None", "self", "super", "loop", "caller"];

impl Plain {
    fn of(text: &str) -> Option<Plain> {
        // minijinja drops one line end at the end of a template.
        if text.ends_with(['\n', '\r']) {
            return None;
        }
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((literal, expression)) = rest.split_once('{') {
            let (expression, after) = expression.strip_prefix('{')?.split_once("}}")?;
            let path: Vec<String> = expression.trim_matches(' ').split('.').map(str::to_owned).collect();
            let is_variable = path.iter().all(|name| is_name(name)) && !NO_VARIABLES.contains(&path[0].as_str());
            if !is_variable {
                return None;
            }
            pieces.push(Piece::Literal(literal.to_owned()));
            pieces.push(Piece::Variable(path));
            rest = after;
        }
        pieces.push(Piece::Literal(rest.to_owned()));
        let about = text.len() + VALUE_ABOUT * (pieces.len() / 2);
        Some(Plain { pieces, about })
    }

    fn fill(&self, data: &Value, is_page: bool) -> Option<String> {
        let mut text = String::with_capacity(self.about);
        for piece in &self.pieces {
            let path = match piece {
                Piece::Literal(literal) => {
                    text.push_str(literal);
                    continue;
                }
                Piece::Variable(path) => path,
            };
            let value = path.iter().try_fold(data, |value, name| value.as_object()?.get(name))?;
            if is_page {
                text.push(VALUE_START);
            }
            match value {
                Value::String(value) if is_page => {
                    text.extend(value.chars().filter(|c| !matches!(*c, VALUE_START | VALUE_END)));
                }
                Value::String(value) => text.push_str(value),
                Value::Number(value) if value.is_i64() || value.is_u64() => text.push_str(&value.to_string()),
                _ => return None,
            }
            if is_page {
                text.push(VALUE_END);
            }
        }
        Some(text)
    }
}

fn fixed(parts: &[(String, Part)]) -> Map<String, Value> {
    let fixed = |part: &Part| match part {
        Part::Fixed(value) => Some(value.clone()),
        _ => None,
    };
    parts.iter().filter_map(|(key, part)| Some((key.clone(), fixed(part)?))).collect()
}

fn is_name(name: &str) -> bool {
    let mut letters = name.bytes();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
}

fn has(filling: &Filling, path: &str) -> bool {
    path.split('.')
        .try_fold(filling.clone(), |value, step| value.get_attr(step).ok().filter(|value| !value.is_undefined()))
        .is_some()
}

/// What minijinja says, without the values and without its own name for the string.
fn told(error: &minijinja::Error) -> String {
    let kind = error.kind().to_string();
    let line = error.line().filter(|line| *line > 1).map_or(String::new(), |line| format!(" in line {line}"));
    match error.detail() {
        Some(detail) => format!("{kind}: {detail}{line}"),
        None => format!("{kind}{line}"),
    }
}

/// Encodes the marked values that stand in the query; those in the path go as they are.
fn encode_page(marked: &str) -> String {
    let mut page = String::with_capacity(marked.len());
    let mut in_query = false;
    for piece in marked.split(VALUE_START) {
        // Before the first mark stands no value, and each value ends with a mark.
        let (value, literal) = piece.split_once(VALUE_END).unwrap_or(("", piece));
        let path_end = if in_query { 0 } else { value.find('?').map_or(value.len(), |place| place + 1) };
        let (path, query) = value.split_at(path_end);
        page.push_str(path);
        if !query.is_empty() {
            page.push_str(&percent_encode(query));
        }
        page.push_str(literal);
        in_query |= path.ends_with('?') || literal.contains('?');
    }
    page
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compile(parts: Vec<(&str, Part)>) -> Rendering {
        Rendering::compile(parts.into_iter().map(|(key, part)| (key.to_owned(), part)).collect()).unwrap()
    }

    #[test]
    fn strings_pages_and_tables_are_filled_in() {
        let rendering = compile(vec![
            ("template_id", Part::Fixed("{{ not touched }}".into())),
            ("page", Part::Page("pages/{{ kind }}/show?id={{ order.id }}&q={{ q }}#{{ q }}".into())),
            ("data", Part::Table(vec![("keyword1".into(), "订单 {{ order.id }}".into())])),
        ]);
        let content = rendering.render(&json!({"kind": "a/b", "order": {"id": 7}, "q": "a b&c=é?"})).unwrap();
        assert_eq!(content["template_id"], "{{ not touched }}");
        assert_eq!(content["page"], "pages/a/b/show?id=7&q=a%20b%26c%3D%C3%A9%3F#a%20b%26c%3D%C3%A9%3F");
        assert_eq!(content["data"]["keyword1"], "订单 7");
    }

    fn text_of(part: &mut Compiled) -> Option<&mut Text> {
        match part {
            Compiled::Text(text) | Compiled::Page(text) => Some(text),
            Compiled::Fixed(_) | Compiled::Table(_) => None,
        }
    }

    /// What is filled in by hand is what minijinja makes of it, or is left to it.
    #[test]
    fn plain_strings_are_filled_in_as_minijinja_does() {
        let texts = [
            "",
            "订单 7",
            "{{ a }}",
            "{{a}}{{ b }}",
            "x{{ a }}y{{ o.p }}z",
            "{{ o.p.q }}",
            "}} {{ a }} }",
            "{{ true }}",
            "{{ self }}",
            "{{ loop }}",
            "{{ range }}",
            "{{ a }}\n",
            "\n{{ a }}",
            "{{- a -}} b",
            "{{ a|upper }}",
            "{{ l[0] }}",
            "{{ l }}",
            "{{ f }}",
            "{{ t }}",
            "{{ n }}",
            "{{ big }}",
            "{{ neg }}",
            "{{ missing }}",
            "{{ a.b }}",
            "{# a #}",
            "{% if a %}b{% endif %}",
            "{ {{ a }}",
            "{{ a",
            "{{ 名 }}",
            "{{ o }}",
            "{{\ta }}",
            "{{ a }}}",
            "{{ o . p }}",
            "{{ mark }}",
            "?x={{ mark }}&y={{ a }}",
        ];
        let data = json!({
            "a": "ä&b=<c>", "b": "", "o": {"p": 7, "q": "x"}, "l": ["x"], "f": 1.0, "t": true, "n": null,
            "big": u64::MAX, "neg": -3, "true": "no", "self": "no", "loop": "no", "range": "yes", "名": "ok",
            "mark": "a\u{f8f0}b\u{f8f1}c",
        });
        let (mut by_hand, mut compared) = (0, 0);
        for text in texts {
            for part in [Part::Text(text.into()), Part::Page(text.into())] {
                let Ok(mut rendering) = Rendering::compile(vec![("k".to_owned(), part)]) else { continue };
                let quick = rendering.render(&data);
                for text in rendering.parts.iter_mut().filter_map(|(_, part)| text_of(part)) {
                    by_hand += usize::from(text.plain.take().is_some());
                }
                assert_eq!(quick, rendering.render(&data), "{text:?}");
                compared += 1;
            }
        }
        assert!(by_hand > 20 && compared > 40, "{by_hand} of {compared} were plain");
    }

    #[test]
    fn a_missing_variable_is_named() {
        let rendering = compile(vec![("text", Part::Text("{{ order.total }} {{ title }}".into()))]);
        let error = rendering.render(&json!({"title": "x", "order": {}})).unwrap_err();
        assert_eq!(error.to_string(), "`text`: the data has no `order.total`");
        let page = compile(vec![("page", Part::Page("a?b={{ id }}".into()))]);
        assert_eq!(page.render(&json!({})).unwrap_err().problem, "the data has no `id`");
    }

    #[test]
    fn every_string_that_does_not_parse_is_reported() {
        let parts = vec![("a".to_owned(), Part::Text("{{ x".into())), ("b".to_owned(), Part::Page("{% if %}".into()))];
        assert_eq!(Rendering::compile(parts).unwrap_err().len(), 2);
    }

    #[test]
    fn an_unknown_filter_is_found_with_placeholders() {
        let rendering = compile(vec![("a", Part::Text("{{ x|shout }}".into()))]);
        assert!(rendering.render(&rendering.placeholders()).is_err());
    }

    #[test]
    fn a_template_that_would_not_end_is_stopped() {
        let rendering = compile(vec![(
            "a",
            Part::Text("{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}".into()),
        )]);
        assert!(rendering.render(&json!({})).is_err());
    }

    #[test]
    fn placeholders_fill_every_variable() {
        let rendering = compile(vec![("a", Part::Text("{{ order.id }} {{ order.total }} {{ title }}".into()))]);
        assert_eq!(rendering.render(&rendering.placeholders()).unwrap()["a"], "order.id order.total title");
    }

    #[test]
    fn a_question_mark_in_a_value_begins_the_query_and_what_follows_is_encoded() {
        let page = |text: &str| compile(vec![("page", Part::Page(text.into()))]);
        let data = json!({"x": "a b?c d?", "y": "e f", "z": ""});
        for (text, filled) in [
            ("{{ x }}/{{ y }}", "a b?c%20d%3F/e%20f"),
            ("{{ y }}/{{ z }}?{{ y }}", "e f/?e%20f"),
            ("p/{{ y }}/q r", "p/e f/q r"),
        ] {
            assert_eq!(page(text).render(&data).unwrap()["page"], filled, "{text}");
        }
    }

    #[test]
    fn values_cannot_smuggle_marks_into_a_page() {
        let rendering = compile(vec![("page", Part::Page("p?x={{ x }}".into()))]);
        let content = rendering.render(&json!({"x": "a\u{f8f1}&admin=1"})).unwrap();
        assert_eq!(content["page"], "p?x=a%26admin%3D1");
    }
}
