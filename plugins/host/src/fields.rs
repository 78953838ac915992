//! A template's values as the fields that cross the border, and back.

use serde_json::{Map, Value};
use tidings_abi::empty;
use tidings_abi::v1::{self, Text};
use tidings_sdk::Part;

/// Most templates have no more: room for so many is made at once.
const USUAL: usize = 12;

/// Fields that borrow the values they were made of.
pub(crate) struct Fields<'a> {
    fields: Vec<v1::Field>,
    /// JSON made for the crossing. The texts stay where they are while the list grows.
    made: Vec<String>,
    of: std::marker::PhantomData<&'a str>,
}

/// A field that came back, as it was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filled {
    pub(crate) kind: u32,
    pub(crate) key: String,
    pub(crate) row: String,
    pub(crate) value: String,
}

impl<'a> Fields<'a> {
    fn new() -> Fields<'a> {
        Fields { fields: Vec::with_capacity(USUAL), made: Vec::new(), of: std::marker::PhantomData }
    }

    /// Rendered content.
    pub(crate) fn of_content(content: &'a Map<String, Value>) -> Fields<'a> {
        let mut fields = Fields::new();
        for (key, value) in content {
            fields.add_value(key, value);
        }
        fields
    }

    /// The parts of a template, to be filled in.
    pub(crate) fn of_parts(parts: &'a [(String, Part)]) -> Fields<'a> {
        let mut fields = Fields::new();
        for (key, part) in parts {
            match part {
                Part::Fixed(value) => fields.add_value(key, value),
                Part::Text(text) => fields.add(v1::FIELD_TEXT | v1::FIELD_FILL, key, "", text),
                Part::Page(text) => fields.add(v1::FIELD_TEXT | v1::FIELD_FILL | v1::FIELD_PAGE, key, "", text),
                Part::Table(rows) if rows.is_empty() => fields.add(v1::FIELD_JSON, key, "", "{}"),
                Part::Table(rows) => {
                    for (row, text) in rows {
                        fields.add(v1::FIELD_ROW | v1::FIELD_FILL, key, row, text);
                    }
                }
            }
        }
        fields
    }

    fn add_value(&mut self, key: &'a str, value: &'a Value) {
        match value {
            Value::String(text) => self.add(v1::FIELD_TEXT, key, "", text),
            Value::Object(rows) if !rows.is_empty() && rows.values().all(Value::is_string) => {
                for (row, text) in rows {
                    self.add(v1::FIELD_ROW, key, row, text.as_str().unwrap_or_default());
                }
            }
            other => {
                let made = other.to_string();
                let text = Text::of(&made);
                self.made.push(made);
                self.fields.push(v1::Field { kind: v1::FIELD_JSON, key: Text::of(key), value: text, ..empty() });
            }
        }
    }

    fn add(&mut self, kind: u32, key: &'a str, row: &'a str, value: &'a str) {
        let (key, row, value) = (Text::of(key), Text::of(row), Text::of(value));
        self.fields.push(v1::Field { kind, key, row, value, ..empty() });
    }

    /// The array, its count, and its stride; valid as long as `self`.
    pub(crate) fn array(&self) -> (*const v1::Field, usize, usize) {
        (self.fields.as_ptr(), self.fields.len(), size_of::<v1::Field>())
    }

    /// What a renderer made of these fields.
    ///
    /// # Errors
    ///
    /// What it did instead of putting every field, in order.
    pub(crate) fn rendered(&self, filled: Vec<Filled>) -> Result<Map<String, Value>, String> {
        if filled.len() != self.fields.len() {
            return Err(format!("put {} fields for {}", filled.len(), self.fields.len()));
        }
        let mut content = Map::new();
        for (asked, filled) in self.fields.iter().zip(filled) {
            let kind = asked.kind & !(v1::FIELD_FILL | v1::FIELD_PAGE);
            let Filled { key, row, value, .. } = filled;
            if filled.kind & !(v1::FIELD_FILL | v1::FIELD_PAGE) != kind || !is(asked.key, &key) || !is(asked.row, &row)
            {
                return Err(format!("put the field {key:?} {row:?}, which was not next; every field is put, in order"));
            }
            match kind {
                v1::FIELD_TEXT => drop(content.insert(key, Value::String(value))),
                v1::FIELD_ROW => {
                    let table = content.entry(key).or_insert_with(|| Value::Object(Map::new()));
                    if let Value::Object(table) = table {
                        table.insert(row, Value::String(value));
                    }
                }
                _ => {
                    let value = serde_json::from_str(&value);
                    let value = value.map_err(|_| format!("put the field {key:?} with something that is no JSON"))?;
                    content.insert(key, value);
                }
            }
        }
        Ok(content)
    }
}

/// Whether a text of ours is that one.
fn is(ours: Text, other: &str) -> bool {
    // SAFETY: the texts of `Fields` borrow `str`s that live as long as it.
    unsafe { ours.read() }.is_ok_and(|ours| ours == other)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            other => panic!("no object: {other}"),
        }
    }

    /// What a renderer that fills nothing in would put.
    fn put_back(fields: &Fields<'_>) -> Vec<Filled> {
        let read = |text: Text| {
            // SAFETY: the texts of `Fields` borrow texts that are still there.
            unsafe { text.read() }.unwrap().to_owned()
        };
        let put = |field: &v1::Field| Filled {
            kind: field.kind,
            key: read(field.key),
            row: read(field.row),
            value: read(field.value),
        };
        fields.fields.iter().map(put).collect()
    }

    #[test]
    fn content_crosses_and_comes_back_as_it_was() {
        let content = map(json!({
            "page": "pages/订单", "data": {"a": "1", "b": ""}, "n": 7, "flag": true, "list": ["x"], "none": {},
            "mixed": {"a": 1}, "empty": "",
        }));
        let fields = Fields::of_content(&content);
        assert_eq!(fields.rendered(put_back(&fields)), Ok(content.clone()));
        assert_eq!(fields.array().1, 9);
    }

    #[test]
    fn parts_cross_with_what_is_to_be_filled_in() {
        let parts = [
            ("fixed".to_owned(), Part::Fixed(json!(3))),
            ("text".to_owned(), Part::Text("{{ a }}".into())),
            ("page".to_owned(), Part::Page("p?x={{ a }}".into())),
            ("rows".to_owned(), Part::Table(vec![("k".into(), "{{ a }}".into())])),
        ];
        let fields = Fields::of_parts(&parts);
        let kinds: Vec<u32> = fields.fields.iter().map(|field| field.kind).collect();
        assert_eq!(kinds, [1, 0x100, 0x300, 0x102]);
        let mut filled = put_back(&fields);
        filled.iter_mut().for_each(|field| field.kind &= 0xff);
        let content = fields.rendered(filled).unwrap();
        assert_eq!(
            Value::Object(content),
            json!({"fixed": 3, "text": "{{ a }}", "page": "p?x={{ a }}", "rows": {"k": "{{ a }}"}})
        );
    }

    #[test]
    fn fields_that_are_missing_or_in_another_order_are_told() {
        let content = map(json!({"a": "1", "b": "2", "c": 3}));
        let fields = Fields::of_content(&content);
        let mut filled = put_back(&fields);
        filled.swap(0, 1);
        assert!(fields.rendered(filled.clone()).unwrap_err().contains("\"b\""));
        filled.swap(0, 1);
        filled[2].value = "{".into();
        assert!(fields.rendered(filled.clone()).unwrap_err().contains("no JSON"));
        filled.pop();
        assert_eq!(fields.rendered(filled).unwrap_err(), "put 2 fields for 3");
    }
}
