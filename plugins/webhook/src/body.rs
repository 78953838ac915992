//! The body of a request: `json`, `form` or `body` of the app, or `json` of the template.
//!
//! `json` is read as JSON before anything is filled in, and values are put into its strings alone: whatever a message
//! says, the shape is config's, and the writer escapes what has to be. That is why a placeholder stands in quotes, and
//! why a number or a boolean that comes with the message says so: `"{count:number}"` becomes `7`, without quotes.

use serde_json::{Map, Value};
use tidings_sdk::{App, percent_encode};

use crate::placeholder::{Fillings, Pattern, Piece, check_braces};

/// Bytes a body may have: four of the longest values the engine renders.
pub(crate) const BODY_BYTES_MAX: usize = 256 * 1024;

/// What a body is made of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape<'a> {
    /// No body.
    Empty,
    /// JSON with placeholders in its strings.
    Json(Value),
    /// Fields of a form.
    Form(Vec<(&'a str, &'a str)>),
    /// A text.
    Text(&'a str),
}

impl<'a> Shape<'a> {
    /// The shape that the app says, or the template in its place; with the setting that is wrong.
    pub(crate) fn of(app: &'a App, content: &'a Map<String, Value>) -> Result<Shape<'a>, (&'static str, String)> {
        let settings = &app.settings;
        let form: Vec<_> = settings.table("form").collect();
        let (json, body) = (settings.text("json"), settings.text("body"));
        let own = content.get("json").and_then(Value::as_str).unwrap_or_default();
        if !own.is_empty() && (!form.is_empty() || !body.is_empty()) {
            return Err(("json", "stands beside a `form` or a `body` of the app; one of them is sent".to_owned()));
        }
        let json = if own.is_empty() { json } else { own };
        Ok(if !json.is_empty() {
            Shape::Json(read(json).map_err(|problem| ("json", problem))?)
        } else if !form.is_empty() {
            Shape::Form(form)
        } else if !body.is_empty() {
            Shape::Text(body)
        } else {
            Shape::Empty
        })
    }

    /// The content type, where the headers of the app do not say.
    pub(crate) fn content_type(&self) -> &'static str {
        match self {
            Shape::Empty => "",
            Shape::Json(_) => "application/json; charset=utf-8",
            Shape::Form(_) => "application/x-www-form-urlencoded",
            Shape::Text(_) => "text/plain; charset=utf-8",
        }
    }

    /// The setting it comes from.
    pub(crate) fn setting(&self) -> &'static str {
        match self {
            Shape::Empty | Shape::Json(_) => "json",
            Shape::Form(_) => "form",
            Shape::Text(_) => "body",
        }
    }

    /// Every name in it.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut take = |text: &str| names.extend(Pattern::of(text).names().map(str::to_owned));
        match self {
            Shape::Empty => {}
            Shape::Json(value) => strings(value, &mut take),
            Shape::Form(fields) => fields.iter().for_each(|(_, text)| take(text)),
            Shape::Text(text) => take(text),
        }
        names
    }

    /// The bytes.
    pub(crate) fn fill(&self, fillings: &Fillings<'_>) -> Result<Vec<u8>, String> {
        let plain = |text: &str| Pattern::of(text).fill(fillings, |_, value| Ok(value.to_owned()));
        let body = match self {
            Shape::Empty => Vec::new(),
            // Raw UTF-8: some providers refuse `\uXXXX`.
            Shape::Json(value) => serde_json::to_vec(&filled(value, fillings)?).expect("a value writes into memory"),
            Shape::Form(fields) => {
                let field = |(name, text): &(&str, &str)| {
                    Ok(format!("{}={}", percent_encode(name), percent_encode(&plain(text)?)))
                };
                fields.iter().map(field).collect::<Result<Vec<_>, String>>()?.join("&").into_bytes()
            }
            Shape::Text(text) => plain(text)?.into_bytes(),
        };
        if body.len() > BODY_BYTES_MAX {
            return Err(format!("is {} bytes when filled in; at most {BODY_BYTES_MAX} are sent", body.len()));
        }
        Ok(body)
    }
}

/// Reads `json`, and finds what could never be filled in.
pub(crate) fn read(json: &str) -> Result<Value, String> {
    let value: Value = serde_json::from_str(json).map_err(|error| {
        let hint = check_braces(json).map_or_else(|hint| format!("; it {hint}"), |()| String::new());
        format!("is no JSON: {error}{hint}")
    })?;
    let mut problem = None;
    strings(&value, &mut |text| {
        let found = check_braces(text).and_then(|()| check_forms(text));
        problem = problem.take().or(found.err());
    });
    keys(&value, &mut |key| {
        if Pattern::of(key).names().next().is_some() || check_braces(key).is_err() {
            problem = problem.take().or(Some(format!("has a placeholder in the name `{key}`; they stand in values")));
        }
    });
    problem.map_or(Ok(value), Err)
}

fn check_forms(text: &str) -> Result<(), String> {
    let pattern = Pattern::of(text);
    for piece in &pattern.pieces {
        let Piece::Name { name, form } = *piece else { continue };
        match form {
            "" => {}
            "number" | "boolean" if pattern.pieces.len() == 1 => {}
            "number" | "boolean" => {
                return Err(format!(
                    "has `{{{name}:{form}}}` with text around it; it stands alone, as in \"{{{name}:{form}}}\""
                ));
            }
            _ => return Err(format!("has `{{{name}:{form}}}`; after the colon comes `number` or `boolean`")),
        }
    }
    Ok(())
}

fn filled(value: &Value, fillings: &Fillings<'_>) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => string(text, fillings)?,
        Value::Array(items) => Value::Array(items.iter().map(|item| filled(item, fillings)).collect::<Result<_, _>>()?),
        Value::Object(members) => {
            let member = |(key, value): (&String, &Value)| Ok((key.clone(), filled(value, fillings)?));
            Value::Object(members.iter().map(member).collect::<Result<_, String>>()?)
        }
        other => other.clone(),
    })
}

fn string(text: &str, fillings: &Fillings<'_>) -> Result<Value, String> {
    let pattern = Pattern::of(text);
    let [Piece::Name { name, form: form @ ("number" | "boolean") }] = pattern.pieces[..] else {
        return Ok(pattern.fill(fillings, |_, value| Ok(value.to_owned()))?.into());
    };
    let value: Option<Value> = serde_json::from_str(fillings.get(name)?.trim()).ok();
    match (form, value) {
        ("number", Some(number @ Value::Number(_))) | ("boolean", Some(number @ Value::Bool(_))) => Ok(number),
        ("number", _) => Err(format!("has `{{{name}:number}}`, which stands for something that is no number")),
        _ => Err(format!("has `{{{name}:boolean}}`, which stands for something that is neither `true` nor `false`")),
    }
}

fn strings(value: &Value, take: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => take(text),
        Value::Array(items) => items.iter().for_each(|item| strings(item, take)),
        Value::Object(members) => members.values().for_each(|member| strings(member, take)),
        _ => {}
    }
}

fn keys(value: &Value, take: &mut impl FnMut(&str)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| keys(item, take)),
        Value::Object(members) => {
            for (key, member) in members {
                take(key);
                keys(member, take);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{app, object};
    use serde_json::json;

    fn filled(settings: Value, content: Value) -> Result<String, String> {
        let (app, content) = (app(settings), object(content));
        let shape = Shape::of(&app, &content).map_err(|(_, problem)| problem)?;
        let body = shape.fill(&Fillings::new(&app, "ann", "tidings-1-7", &content))?;
        Ok(String::from_utf8(body).unwrap())
    }

    #[track_caller]
    fn check_json(json: &str, values: Value, expected: &str) {
        assert_eq!(filled(json!({"json": json}), json!({"values": values})), Ok(expected.to_owned()), "{json}");
    }

    #[track_caller]
    fn refused(json: &str, values: Value, part: &str) {
        let problem = filled(json!({"json": json}), json!({"values": values})).unwrap_err();
        assert!(problem.contains(part), "{json}: {problem}");
        assert!(!problem.contains("CANARY"), "{problem}");
    }

    #[test]
    fn json_has_the_shape_of_config_and_the_words_of_the_message() {
        check_json(
            r#"{"type": "text", "text": {"to": ["{recipient}", 1, true, null], "content": "To {name}: {text}"}}"#,
            json!({"name": "Ann", "text": "已发货"}),
            r#"{"text":{"content":"To Ann: 已发货","to":["ann",1,true,null]},"type":"text"}"#,
        );
    }

    #[test]
    fn no_value_changes_the_shape() {
        let nasty = "\", \"admin\": true, \"x\": \"\\ \n\u{1} {recipient} }}";
        let sent = filled(json!({"json": r#"{"text": "{text}"}"#}), json!({"values": {"text": nasty}})).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&sent).unwrap(), json!({"text": nasty}));
    }

    #[test]
    fn a_number_or_a_boolean_of_the_message_says_so() {
        let values = json!({"n": " 7 ", "f": "-1.5", "b": "true"});
        check_json(
            r#"{"n": "{n:number}", "f": ["{f:number}"], "b": "{b:boolean}", "s": "{n}"}"#,
            values,
            r#"{"b":true,"f":[-1.5],"n":7,"s":" 7 "}"#,
        );
        for wrong in ["", "CANARY", "\"7\"", "7, 8", "true"] {
            refused(r#"{"n": "{n:number}"}"#, json!({"n": wrong}), "is no number");
        }
        for wrong in ["", "CANARY", "1", "True"] {
            refused(r#"{"b": "{b:boolean}"}"#, json!({"b": wrong}), "neither `true` nor `false`");
        }
        refused(r#"{"n": "no {n:number}"}"#, json!({"n": "7"}), "with text around it");
        refused(r#"{"n": "{n:float}"}"#, json!({"n": "7"}), "`number` or `boolean`");
    }

    #[test]
    fn what_is_no_json_is_told_with_its_place_and_what_was_meant() {
        refused(r#"{"a": {text}}"#, json!({"text": "CANARY"}), "line 1 column 8");
        refused(r#"{"a": {{ text }}}"#, json!({"text": "CANARY"}), "filled in under `values`");
        refused(r#"{"a": "{{ text }}"}"#, json!({"text": "CANARY"}), "filled in under `values`");
        refused(r#"{"{text}": 1}"#, json!({"text": "CANARY"}), "in the name `{text}`");
        refused(r#"[{"a": [{"{text}": 1}]}]"#, json!({"text": "CANARY"}), "in the name `{text}`");
        refused(r#"{"a": "{tetx}"}"#, json!({"text": "CANARY"}), "did you mean `{text}`?");
    }

    #[test]
    fn a_template_may_have_a_shape_of_its_own() {
        let content = json!({"json": r#"["{text}"]"#, "values": {"text": "x"}});
        assert_eq!(filled(json!({"json": r#"{"text": "{text}"}"#}), content.clone()), Ok(r#"["x"]"#.to_owned()));
        assert_eq!(filled(json!({}), content.clone()), Ok(r#"["x"]"#.to_owned()));
        assert!(filled(json!({"body": "{text}"}), content.clone()).unwrap_err().contains("beside"));
        assert!(filled(json!({"form": {"a": "b"}}), content).unwrap_err().contains("beside"));
    }

    #[test]
    fn a_form_is_encoded_field_by_field() {
        let settings = json!({"form": {"Body": "{text}", "To": "{recipient}"}});
        let sent = filled(settings, json!({"values": {"text": "a&b=c +\n"}}));
        assert_eq!(sent, Ok("Body=a%26b%3Dc%20%2B%0A&To=ann".to_owned()));
    }

    #[test]
    fn a_text_is_sent_as_it_is() {
        let sent = filled(json!({"body": "{text}!\n"}), json!({"values": {"text": "<a & \"b\">"}}));
        assert_eq!(sent, Ok("<a & \"b\">!\n".to_owned()));
        assert_eq!(filled(json!({}), json!({})), Ok(String::new()));
    }

    #[test]
    fn a_body_has_a_bound() {
        let problem = filled(json!({"body": "{t}"}), json!({"values": {"t": "x".repeat(BODY_BYTES_MAX + 1)}}));
        assert!(problem.unwrap_err().contains("at most 262144"));
    }

    #[test]
    fn each_shape_has_its_content_type() {
        let content = Map::new();
        for (settings, content_type) in [
            (json!({}), ""),
            (json!({"json": "{}"}), "application/json; charset=utf-8"),
            (json!({"form": {"a": "b"}}), "application/x-www-form-urlencoded"),
            (json!({"body": "x"}), "text/plain; charset=utf-8"),
        ] {
            assert_eq!(Shape::of(&app(settings), &content).unwrap().content_type(), content_type);
        }
    }
}
