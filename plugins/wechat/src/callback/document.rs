//! XML and JSON as one kind of tree: the console lets one choose, and nobody says which was chosen (§5).

use std::borrow::Cow;

use roxmltree::{Node, ParsingOptions};
use serde_json::{Map, Value};

use super::Refused;

/// Elements, texts and comments of one XML document.
const NODES_MAX: u32 = 4096;
/// Elements inside each other: WeChat's have four.
const DEPTH_MAX: usize = 16;

/// The root of a tree: an object. An element of XML with elements in it is an object too, one without is a text, and
/// several of one name are a list.
#[derive(Debug, PartialEq)]
pub(super) struct Document(Value);

impl Document {
    /// Reads a body by its first character. Entities and document types of XML are refused: nothing expands.
    pub(super) fn parse(body: &[u8]) -> Result<Document, Refused> {
        let text = std::str::from_utf8(body).map_err(|_| Refused::malformed("the push is no UTF-8"))?;
        let text = text.trim_start_matches('\u{feff}').trim();
        let root = match text.as_bytes().first() {
            Some(b'<') => xml(text)?,
            Some(b'{') => serde_json::from_str(text).map_err(|_| Refused::malformed("the push is no readable JSON"))?,
            _ => return Err(Refused::malformed("the push is neither XML nor a JSON object")),
        };
        Ok(Document(root))
    }

    /// The text or whole number under `name`, which WeChat writes now as one and now as the other; `None` if there is
    /// none, or something else.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        text(&self.0, name)
    }

    /// The objects of the list `name`: in XML inside `wrapper` and repeated, in JSON without the wrapper, and one alone as
    /// itself (§3).
    pub(super) fn items(&self, wrapper: &str, name: &str) -> Vec<Item<'_>> {
        let holder = self.0.get(wrapper).unwrap_or(&self.0);
        match holder.get(name) {
            Some(Value::Array(items)) => items.iter().map(Item).collect(),
            Some(item) => vec![Item(item)],
            None => Vec::new(),
        }
    }
}

/// One object of a list.
pub(super) struct Item<'a>(&'a Value);

impl<'a> Item<'a> {
    /// As [`Document::text`].
    pub(super) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        text(self.0, name)
    }
}

fn text<'a>(object: &'a Value, name: &str) -> Option<Cow<'a, str>> {
    match object.get(name)? {
        Value::String(text) => Some(text.trim().into()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string().into()),
        _ => None,
    }
}

fn xml(text: &str) -> Result<Value, Refused> {
    let options = ParsingOptions { nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    let document = roxmltree::Document::parse_with_options(text, options).map_err(|error| {
        Refused::malformed(format!("the push is no readable XML: {}", first_line(&error.to_string())))
    })?;
    match value(document.root_element(), 1)? {
        root @ Value::Object(_) => Ok(root),
        _ => Err(Refused::malformed("the push is an XML element with nothing in it")),
    }
}

fn value(element: Node<'_, '_>, depth: usize) -> Result<Value, Refused> {
    if depth > DEPTH_MAX {
        return Err(Refused::malformed(format!("the push has more than {DEPTH_MAX} elements inside each other")));
    }
    let mut members = Map::new();
    for child in element.children().filter(Node::is_element) {
        let new = value(child, depth + 1)?;
        match members.get_mut(child.tag_name().name()) {
            None => {
                members.insert(child.tag_name().name().to_owned(), new);
            }
            Some(Value::Array(items)) => items.push(new),
            Some(first) => *first = Value::Array(vec![first.take(), new]),
        }
    }
    if !members.is_empty() {
        return Ok(Value::Object(members));
    }
    Ok(element.children().filter(Node::is_text).filter_map(|node| node.text()).collect::<String>().into())
}

/// An error without whatever of the push it repeats on further lines.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(text: &str) -> Value {
        Document::parse(text.as_bytes()).unwrap_or_else(|it| panic!("{}: {text}", it.why)).0
    }

    fn refusal(text: &str) -> String {
        let refused = Document::parse(text.as_bytes()).expect_err(text);
        assert_eq!(refused.status, 400);
        refused.why
    }

    #[test]
    fn xml_and_json_are_told_apart_by_what_they_begin_with() {
        let expected = json!({"a": "1", "b": "<茶>"});
        assert_eq!(parse("\u{feff}\n <xml><a>1</a><b><![CDATA[<茶>]]></b></xml> \n"), expected);
        assert_eq!(parse("<?xml version='1.0'?><xml><!-- x --><a>1</a><b>&lt;茶&gt;</b></xml>"), expected);
        assert_eq!(parse("\u{feff} {\"a\":\"1\",\"b\":\"<茶>\"}"), expected);
        for nothing in ["", " ", "a=1", "[1]", "null", "<xml></xml>", "<xml>1</xml>"] {
            refusal(nothing);
        }
    }

    #[test]
    fn repeated_elements_are_a_list_and_one_alone_is_itself() {
        assert_eq!(parse("<xml><l><i>1</i></l><l><i>2</i></l><l/></xml>"), json!({"l": [{"i": "1"}, {"i": "2"}, ""]}));
        for body in [
            "<xml><W><List><a>1</a></List><List><a>2</a></List></W></xml>",
            r#"{"List":[{"a":1},{"a":"2"}]}"#,
            r#"{"W":{"List":[{"a":1},{"a":"2"}]}}"#,
        ] {
            let document = Document::parse(body.as_bytes()).unwrap();
            let texts: Vec<_> = document.items("W", "List").iter().filter_map(|item| item.text("a")).collect();
            assert_eq!(texts, ["1", "2"], "{body}");
        }
        let alone = Document::parse(br#"{"List":{"a":1}}"#).unwrap();
        assert_eq!(alone.items("W", "List").len(), 1);
    }

    #[test]
    fn numbers_and_texts_are_the_same_and_everything_else_is_neither() {
        let body = br#"{"n":18446744073709551615,"t":" 7 ","f":1.5,"b":true,"o":{},"l":["x"]}"#;
        let document = Document::parse(body).unwrap();
        assert_eq!(document.text("n").as_deref(), Some("18446744073709551615"));
        assert_eq!(document.text("t").as_deref(), Some("7"));
        for name in ["f", "b", "o", "l", "absent"] {
            assert_eq!(document.text(name), None, "{name}");
        }
    }

    #[test]
    fn nothing_in_xml_expands() {
        let bomb = "<!DOCTYPE x [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\">]><xml><t>&b;</t></xml>";
        let outside = "<!DOCTYPE x [<!ENTITY f SYSTEM \"file:///etc/hostname\">]><xml><t>&f;</t></xml>";
        for body in [bomb, outside, "<xml><t>&b;</t></xml>", "<!DOCTYPE x><xml><t>1</t></xml>"] {
            assert!(refusal(body).contains("XML"), "{body}");
        }
    }

    #[test]
    fn many_elements_and_deep_ones_are_refused() {
        assert!(refusal(&format!("<xml>{}</xml>", "<a/>".repeat(4096))).contains("XML"));
        assert!(refusal(&format!("{}{}", "<a>".repeat(17), "</a>".repeat(17))).contains("inside each other"));
        assert!(refusal(&format!("{}{}", "<a>".repeat(9000), "</a>".repeat(9000))).contains("XML"));
        assert!(refusal(&format!("{}{}", "{\"a\":".repeat(9000), "}".repeat(9000))).contains("JSON"));
    }
}
