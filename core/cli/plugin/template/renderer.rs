//! acme: fills templates in, for Tidings. `{name}` in a string becomes the value of `name` in the message's data.

use serde_json::{Map, Value};
use tidings_sdk::{App, Part, Plugin, Renderer, Violation, percent_encode};

struct Fill;

impl Renderer for Fill {
    /// A value for each part. Pure: the same template and data always make the same content.
    fn render(&self, _app: &App, parts: &[(String, Part)], data: &Value) -> Result<Map<String, Value>, Violation> {
        let fill = |key: &str, text: &str, encode| {
            filled(text, data, encode).map_err(|problem| Violation::new(key.to_owned(), problem))
        };
        let mut content = Map::new();
        for (key, part) in parts {
            let value = match part {
                Part::Fixed(value) => value.clone(),
                Part::Text(text) => fill(key, text, false)?.into(),
                Part::Page(text) => fill(key, text, true)?.into(),
                Part::Table(rows) => {
                    let row = |(name, text): &(String, String)| Ok((name.clone(), fill(key, text, false)?.into()));
                    Value::Object(rows.iter().map(row).collect::<Result<_, Violation>>()?)
                }
            };
            content.insert(key.clone(), value);
        }
        Ok(content)
    }
}

fn filled(text: &str, data: &Value, encode: bool) -> Result<String, String> {
    let mut pieces = text.split('{');
    let mut filled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once('}').ok_or("has a `{` without a `}`")?;
        let value = match data.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
            _ => return Err(format!("the data has no text or number `{name}`")),
        };
        filled.push_str(&if encode { percent_encode(&value) } else { value });
        filled.push_str(rest);
    }
    Ok(filled)
}

/// The plugin `acme`: renderer `fill`.
pub fn plugin() -> Plugin {
    Plugin::new("acme", env!("CARGO_PKG_VERSION")).renderer("fill", Fill)
}

tidings_sdk::export!(name: "acme", roles: [renderer], plugin: plugin());
