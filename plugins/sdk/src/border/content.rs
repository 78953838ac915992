//! The content of a message, made of its fields: and made over for the next one.
//!
//! Messages of one template differ in their values alone, and most messages that follow each other are of one template.
//! The map of the last message is then filled anew where it stands: a dozen allocations less for each.

use serde_json::{Map, Value};
use tidings_abi::{Misshapen, array, v1};

use super::instance::Stop;
use super::values::{Field, KIND_MASK, fields, text};

/// The content that was made last, and of which fields.
#[derive(Default)]
pub(super) struct Content {
    values: Map<String, Value>,
    /// What the fields were, in order. Where these are the same, so is all of the map but its values.
    shape: Vec<Place>,
    /// Whether the fields were all texts and rows, in the order of the map.
    is_ordered: bool,
}

/// Where a field's value stands.
struct Place {
    kind: u32,
    key: String,
    row: String,
    /// Of a row: whether the field before was no row of the same table.
    begins_table: bool,
}

impl Place {
    /// Whether the field stands here, too. The texts are compared as bytes: those that are the same are UTF-8, too.
    ///
    /// # Safety
    ///
    /// As for [`Text::read`](v1::Text::read).
    unsafe fn is_of(&self, field: &v1::Field) -> bool {
        // Most rows are empty, and so much is seen by the size.
        let same = |text: v1::Text, here: &str| {
            // SAFETY: the caller's word.
            text.size == here.len() && (here.is_empty() || unsafe { text.bytes(here.len()) } == Ok(here.as_bytes()))
        };
        field.kind == self.kind && same(field.key, &self.key) && same(field.row, &self.row)
    }
}

impl Content {
    /// The content of these fields.
    ///
    /// # Safety
    ///
    /// As for [`fields`], for the call.
    pub(super) unsafe fn of(
        &mut self,
        first: *const v1::Field,
        count: usize,
        stride: usize,
    ) -> Result<&Map<String, Value>, Stop> {
        // SAFETY: the caller's word.
        unsafe {
            if !self.refill(array(first, count, stride)?)? {
                self.make(fields(first, count, stride)?)?;
            }
        }
        Ok(&self.values)
    }

    /// Fills the map with other values, and says whether its shape is that of the fields. If not, or if it fails, values
    /// of both are in it; but no key that is not of the shape, so the next to fill it writes over them all.
    ///
    /// # Safety
    ///
    /// The texts of the fields are as [`Text::read`](v1::Text::read) wants them.
    unsafe fn refill(&mut self, fields: impl Iterator<Item = Result<v1::Field, Misshapen>>) -> Result<bool, Stop> {
        let mut places = self.shape.iter();
        // A host that sends the fields in the order of the map has each value met where it stands, without a search.
        let (mut values, mut rows) = (self.is_ordered.then(|| self.values.values_mut()), None);
        let mut searched = Vec::new();
        for field in fields {
            let field = field?;
            // SAFETY: the caller's word.
            let Some(place) = places.next().filter(|place| unsafe { place.is_of(&field) }) else { return Ok(false) };
            // SAFETY: the caller's word.
            let value = unsafe { text(field.value) }?;
            let met = match (&mut values, place.kind & KIND_MASK) {
                (Some(values), v1::FIELD_TEXT) => values.next(),
                (Some(values), v1::FIELD_ROW) => {
                    if place.begins_table {
                        rows = values.next().and_then(Value::as_object_mut).map(Map::values_mut);
                    }
                    rows.as_mut().and_then(Iterator::next)
                }
                _ => None,
            };
            match met {
                Some(Value::String(text)) => {
                    text.clear();
                    text.push_str(value);
                }
                _ => searched.push((place, value)),
            }
        }
        for (place, value) in searched {
            put(&mut self.values, &Field { kind: place.kind, key: &place.key, row: &place.row, value })?;
        }
        Ok(places.next().is_none())
    }

    fn make<'a>(&mut self, fields: impl Iterator<Item = Result<Field<'a>, Misshapen>>) -> Result<(), Stop> {
        self.values.clear();
        self.shape.clear();
        self.is_ordered = true;
        for field in fields {
            let field = field?;
            let Field { kind, key, row, .. } = field;
            let before = self.shape.last();
            let is_row = |kind: u32| kind & KIND_MASK == v1::FIELD_ROW;
            let goes_on = is_row(kind) && before.is_some_and(|before| is_row(before.kind) && before.key == key);
            // Texts and rows alone: a value of another kind would be passed over without a word.
            let is_met = matches!(kind & KIND_MASK, v1::FIELD_TEXT | v1::FIELD_ROW);
            let is_next =
                before.is_none_or(|before| if goes_on { before.row.as_str() < row } else { before.key.as_str() < key });
            self.is_ordered &= is_met && is_next;
            self.shape.push(Place { kind, key: key.to_owned(), row: row.to_owned(), begins_table: !goes_on });
            put(&mut self.values, &field)?;
        }
        Ok(())
    }

    /// The content of these fields, to keep.
    ///
    /// # Safety
    ///
    /// As for [`fields`], for the call.
    pub(super) unsafe fn owned(
        first: *const v1::Field,
        count: usize,
        stride: usize,
    ) -> Result<Map<String, Value>, Stop> {
        let mut values = Map::new();
        // SAFETY: the caller's word.
        for field in unsafe { fields(first, count, stride) }? {
            put(&mut values, &field?)?;
        }
        Ok(values)
    }
}

fn put(values: &mut Map<String, Value>, field: &Field<'_>) -> Result<(), Stop> {
    match field.what() {
        v1::FIELD_TEXT => put_text(values, field.key, field.value),
        v1::FIELD_JSON => drop(values.insert(field.key.to_owned(), field.json()?)),
        v1::FIELD_ROW => match values.get_mut(field.key) {
            Some(Value::Object(rows)) => put_text(rows, field.row, field.value),
            _ => {
                let rows = Map::from_iter([(field.row.to_owned(), field.value.into())]);
                values.insert(field.key.to_owned(), Value::Object(rows));
            }
        },
        _ => return Err(field.unknown()),
    }
    Ok(())
}

fn put_text(values: &mut Map<String, Value>, key: &str, value: &str) {
    match values.get_mut(key) {
        Some(Value::String(text)) => {
            text.clear();
            text.push_str(value);
        }
        _ => drop(values.insert(key.to_owned(), value.into())),
    }
}

#[cfg(test)]
mod tests {
    use tidings_abi::empty;
    use tidings_abi::v1::Text;

    use super::*;

    const STRIDE: usize = size_of::<v1::Field>();

    fn field((kind, key, row): (u32, &'static str, &'static str), value: &'static str) -> v1::Field {
        v1::Field { kind, key: Text::of(key), row: Text::of(row), value: Text::of(value), ..empty() }
    }

    #[test]
    fn nothing_of_a_message_is_in_the_next_whatever_their_fields() {
        let kinds = [
            (v1::FIELD_TEXT, "a", ""),
            (v1::FIELD_TEXT, "b", ""),
            (v1::FIELD_JSON, "a", ""),
            (v1::FIELD_ROW, "a", "x"),
            (v1::FIELD_ROW, "a", "y"),
        ];
        let mut messages: Vec<Vec<v1::Field>> = vec![Vec::new()];
        for length in 0..3 {
            let shorter: Vec<Vec<v1::Field>> = messages.iter().filter(|it| it.len() == length).cloned().collect();
            for message in shorter {
                for (kind, value) in kinds.iter().zip([["1", "2", "3"]; 5]) {
                    messages.push([&message[..], &[field(*kind, value[length])]].concat());
                }
            }
        }
        assert_eq!(messages.len(), 1 + 5 + 25 + 125);
        let mut content = Content::default();
        for first in &messages {
            for second in &messages {
                for message in [first, second, second] {
                    // SAFETY: arrays of ours, of literals.
                    let (made, fresh) = unsafe {
                        let made = content.of(message.as_ptr(), message.len(), STRIDE).unwrap();
                        (made, Content::owned(message.as_ptr(), message.len(), STRIDE).unwrap())
                    };
                    assert_eq!(*made, fresh);
                }
            }
        }
    }

    #[test]
    fn nothing_of_a_message_that_could_not_be_read_is_in_the_next() {
        let [text, rest] = [(v1::FIELD_TEXT, "a", ""), (v1::FIELD_JSON, "b", "")];
        let (broken, whole) = ([field(text, "1"), field(rest, "no JSON")], [field(text, "2")]);
        let mut content = Content::default();
        // SAFETY: arrays of ours, of literals.
        unsafe {
            assert!(content.of(broken.as_ptr(), 2, STRIDE).is_err());
            assert_eq!(content.of(whole.as_ptr(), 1, STRIDE).unwrap().len(), 1);
            assert!(content.of(broken.as_ptr(), 2, STRIDE).is_err());
            assert_eq!(content.of(broken.as_ptr(), 0, STRIDE).unwrap().len(), 0);
        }
    }
}
