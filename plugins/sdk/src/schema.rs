//! Settings as JSON Schema: how a plugin in a file says what it reads from config.
//!
//! The subset: one object; `type` of `string`, `integer`, `boolean`, `array` of strings and `object` of strings; `enum`,
//! `minimum`, `maximum`, `format: "uri"`, `default`, `examples`, `description`, `required`. What JSON Schema has no word
//! for: `x-secret`, `x-duration`, and `x-fill` (`"text"` or `"page"`) for what the renderer fills in. Keys that are not
//! listed are mistakes, as with `additionalProperties: false`.

use serde_json::{Map, Value, json};

use crate::settings::{NUMBER_MAX, Setting, SettingKind};

/// Settings one schema may have.
const SETTINGS_MAX: usize = 256;

/// The schema of these settings.
pub fn to_schema(settings: &[Setting]) -> Value {
    let properties: Map<String, Value> =
        settings.iter().map(|setting| (setting.name.to_owned(), property(setting))).collect();
    let required: Vec<&str> = settings.iter().filter(|setting| setting.required).map(|setting| setting.name).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn property(setting: &Setting) -> Value {
    let mut property = match setting.kind {
        SettingKind::Text => json!({"type": "string"}),
        SettingKind::Choice(words) => json!({"type": "string", "enum": words}),
        SettingKind::Secret => json!({"type": "string", "x-secret": true}),
        SettingKind::Url => json!({"type": "string", "format": "uri"}),
        SettingKind::Number { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
        SettingKind::Boolean => json!({"type": "boolean"}),
        SettingKind::Duration => json!({"type": "string", "x-duration": true}),
        SettingKind::TextList => json!({"type": "array", "items": {"type": "string"}}),
        SettingKind::TextTable => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        SettingKind::Template => json!({"type": "string", "x-fill": "text"}),
        SettingKind::PageTemplate => json!({"type": "string", "x-fill": "page"}),
        SettingKind::TemplateTable => {
            json!({"type": "object", "additionalProperties": {"type": "string"}, "x-fill": "text"})
        }
    };
    property["description"] = setting.about.into();
    if let Some(default) = setting.default {
        property["default"] = default.into();
    }
    if let Some(example) = setting.example {
        property["examples"] = json!([example]);
    }
    property
}

/// The settings of a schema, in alphabetical order. They live as long as the program, as the plugin does whose they are:
/// it is never unloaded.
///
/// # Errors
///
/// Everything that is not of the subset, with its place.
pub fn from_schema(schema: &Value) -> Result<&'static [Setting], String> {
    let object = schema.as_object().ok_or("the schema is no object")?;
    known(object, "", &["type", "properties", "required", "additionalProperties", "description", "$schema", "title"])?;
    if object.get("type").is_some_and(|kind| kind != "object") {
        return Err("`type` of the schema is not \"object\"".to_owned());
    }
    if object.get("additionalProperties").is_some_and(|more| more != &Value::Bool(false)) {
        return Err("`additionalProperties` is not false; every key has to be listed".to_owned());
    }
    let empty = Map::new();
    let properties = match object.get("properties") {
        None => &empty,
        Some(properties) => properties.as_object().ok_or("`properties` is no object")?,
    };
    if properties.len() > SETTINGS_MAX {
        return Err(format!("{} properties; at most {SETTINGS_MAX} are read", properties.len()));
    }
    let required: Vec<&str> = match object.get("required") {
        None => Vec::new(),
        Some(required) => {
            let names = required.as_array().ok_or("`required` is no list")?;
            names.iter().map(Value::as_str).collect::<Option<_>>().ok_or("`required` is no list of names")?
        }
    };
    if let Some(name) = required.iter().find(|name| !properties.contains_key(**name)) {
        return Err(format!("`required` names `{name}`, which is none of `properties`"));
    }
    let settings: Result<Vec<Setting>, String> =
        properties.iter().map(|(name, property)| setting(name, property, required.contains(&name.as_str()))).collect();
    Ok(settings?.leak())
}

fn setting(name: &str, property: &Value, required: bool) -> Result<Setting, String> {
    let object = property.as_object().ok_or_else(|| format!("`{name}` is no object"))?;
    let words = ["type", "enum", "minimum", "maximum", "format", "default", "examples", "description", "items"];
    let own = ["additionalProperties", "x-secret", "x-duration", "x-fill"];
    known(object, name, &[&words[..], &own[..]].concat())?;
    let flag = |key: &str| object.get(key) == Some(&Value::Bool(true));
    let fill = object.get("x-fill").and_then(Value::as_str);
    let of_strings = |key: &str| object.get(key).is_some_and(|items| items["type"] == "string");
    let kind = match (object.get("type").and_then(Value::as_str), fill) {
        (Some("string"), Some("text")) => SettingKind::Template,
        (Some("string"), Some("page")) => SettingKind::PageTemplate,
        (Some("object"), Some("text")) if of_strings("additionalProperties") => SettingKind::TemplateTable,
        (_, Some(other)) => return Err(format!("`{name}`: `x-fill` cannot be {other:?} here")),
        (Some("string"), None) if flag("x-secret") => SettingKind::Secret,
        (Some("string"), None) if flag("x-duration") => SettingKind::Duration,
        (Some("string"), None) if object.get("format").is_some_and(|format| format == "uri") => SettingKind::Url,
        (Some("string"), None) => match object.get("enum") {
            Some(words) => SettingKind::Choice(choices(name, words)?),
            None => SettingKind::Text,
        },
        (Some("integer"), None) => {
            let bound = |key: &str, default: u64| match object.get(key) {
                None => Ok(default),
                Some(value) => value.as_u64().ok_or_else(|| format!("`{name}`: `{key}` is no whole number from 0")),
            };
            SettingKind::Number { min: bound("minimum", 0)?, max: bound("maximum", NUMBER_MAX)? }
        }
        (Some("boolean"), None) => SettingKind::Boolean,
        (Some("array"), None) if of_strings("items") => SettingKind::TextList,
        (Some("object"), None) if of_strings("additionalProperties") => SettingKind::TextTable,
        (Some(other), None) => return Err(format!("`{name}`: a `type` of {other:?} like this is not supported")),
        (None, None) => return Err(format!("`{name}` has no `type`")),
    };
    let default = object.get("default").map(|value| leaked(&as_text(value)));
    let example = object.get("examples").and_then(|examples| examples.get(0)).map(|value| leaked(&as_text(value)));
    for (what, value) in [("default", default), ("example", example)] {
        if let Some(value) = value
            && !fits(kind, value)
        {
            return Err(format!("`{name}`: the {what} {value:?} is no value of it"));
        }
    }
    let about = object.get("description").and_then(Value::as_str).unwrap_or("a value");
    Ok(Setting { name: leaked(name), kind, required, default, example, about: leaked(about) })
}

/// Whether a default or an example, as text, is a value of that kind. Lists and tables have none as text.
fn fits(kind: SettingKind, text: &str) -> bool {
    match kind {
        SettingKind::Number { min, max } => text.parse().is_ok_and(|number: u64| (min..=max).contains(&number)),
        SettingKind::Boolean => matches!(text, "true" | "false"),
        SettingKind::Choice(words) => words.contains(&text),
        SettingKind::Duration => {
            let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
            digits.parse::<u64>().is_ok() && ["ms", "s", "m", "h", "d"].contains(&&text[digits.len()..])
        }
        SettingKind::Url => text.starts_with("http://") || text.starts_with("https://"),
        SettingKind::TextList | SettingKind::TextTable | SettingKind::TemplateTable => false,
        SettingKind::Text | SettingKind::Secret | SettingKind::Template | SettingKind::PageTemplate => true,
    }
}

/// A default is text, as in [`Setting`]; a schema may have it as a number or a boolean, too.
fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn choices(name: &str, words: &Value) -> Result<&'static [&'static str], String> {
    let words: Option<Vec<&'static str>> =
        words.as_array().and_then(|words| words.iter().map(|word| word.as_str().map(leaked)).collect());
    match words {
        Some(words) if !words.is_empty() => Ok(words.leak()),
        _ => Err(format!("`{name}`: `enum` is no list of words")),
    }
}

/// What is not of the subset would be promised and not kept: it is refused.
fn known(object: &Map<String, Value>, name: &str, words: &[&str]) -> Result<(), String> {
    match object.keys().find(|key| !words.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) if name.is_empty() => Err(format!("the keyword `{key}` is not supported")),
        Some(key) => Err(format!("`{name}`: the keyword `{key}` is not supported")),
    }
}

pub(crate) fn leaked(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: &[Setting] = &[
        Setting::of("a_choice", SettingKind::Choice(&["one", "two"]), "which").default("one"),
        Setting::of("b_secret", SettingKind::Secret, "a key").required(),
        Setting::of("c_url", SettingKind::Url, "where").example("https://a.example"),
        Setting::of("d_number", SettingKind::Number { min: 1, max: 9 }, "how many").default("5"),
        Setting::of("e_flag", SettingKind::Boolean, "whether").default("true"),
        Setting::of("f_wait", SettingKind::Duration, "how long"),
        Setting::of("g_list", SettingKind::TextList, "which ones"),
        Setting::of("h_table", SettingKind::TextTable, "what for what"),
        Setting::template("i_template", "what is said").required(),
        Setting::of("j_page", SettingKind::PageTemplate, "where to"),
        Setting::of("k_rows", SettingKind::TemplateTable, "what in each"),
        Setting::text("l_text", "a word"),
    ];

    #[test]
    fn settings_come_back_from_their_schema_as_they_were() {
        assert_eq!(from_schema(&to_schema(SETTINGS)).unwrap(), SETTINGS);
    }

    #[test]
    fn what_is_not_of_the_subset_is_refused_by_its_name() {
        for (schema, part) in [
            (json!([]), "no object"),
            (json!({"type": "array"}), "not \"object\""),
            (json!({"oneOf": []}), "`oneOf` is not supported"),
            (json!({"additionalProperties": true}), "has to be listed"),
            (json!({"properties": {"a": {"type": "string", "pattern": "x"}}}), "`a`: the keyword `pattern`"),
            (json!({"properties": {"a": {"type": "number"}}}), "`a`: a `type` of \"number\""),
            (json!({"properties": {"a": {"type": "array"}}}), "`a`: a `type` of \"array\""),
            (json!({"properties": {"a": {}}}), "`a` has no `type`"),
            (json!({"properties": {"a": {"type": "string", "enum": []}}}), "`enum`"),
            (json!({"properties": {"a": {"type": "string", "x-fill": "html"}}}), "`x-fill`"),
            (json!({"properties": {"a": {"type": "integer", "minimum": -1}}}), "`minimum`"),
            (json!({"required": ["b"]}), "`b`"),
            (json!({"properties": {"a": {"type": "integer", "default": "abc"}}}), "`a`: the default"),
            (json!({"properties": {"a": {"type": "integer", "minimum": 3, "default": 2}}}), "`a`: the default"),
            (json!({"properties": {"a": {"type": "string", "enum": ["x"], "default": "y"}}}), "`a`: the default"),
            (json!({"properties": {"a": {"type": "string", "x-duration": true, "default": "5"}}}), "`a`: the default"),
            (
                json!({"properties": {"a": {"type": "array", "items": {"type": "string"}, "default": ["x"]}}}),
                "`a`: the default",
            ),
        ] {
            let error = from_schema(&schema).unwrap_err();
            assert!(error.contains(part), "{schema}: {error}");
        }
    }
}
