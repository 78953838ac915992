//! What a statement is given: whole numbers, texts and bytes, and lists of them.

use std::borrow::Cow;
use std::fmt;

use sqlx::Arguments as _;
use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;

/// A value of a variable. Permits and tokens are among them: what is shown of one is its kind.
pub(crate) enum Value<'q> {
    Integer(Option<i64>),
    Text(Option<Cow<'q, str>>),
    Bytes(Option<Cow<'q, [u8]>>),
    Json(String),
    /// A column of a list, as PostgreSQL takes it.
    IntegerList(Vec<Option<i64>>),
    TextList(Vec<Option<Cow<'q, str>>>),
    BytesList(Vec<Option<Cow<'q, [u8]>>>),
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Value::Integer(_) => "Integer",
            Value::Text(_) => "Text",
            Value::Bytes(_) => "Bytes",
            Value::Json(_) => "Json",
            Value::IntegerList(_) => "IntegerList",
            Value::TextList(_) => "TextList",
            Value::BytesList(_) => "BytesList",
        })
    }
}

/// A list as the JSON array a statement walks.
#[derive(Clone)]
pub(crate) struct Json(String);

pub(crate) fn json(rows: &impl serde::Serialize) -> Json {
    Json(serde_json::to_string(rows).expect("rows of numbers and strings are always JSON"))
}

/// What becomes a value.
pub(crate) trait IntoValue<'q> {
    fn into_value(self) -> Value<'q>;
}

macro_rules! integers {
    ($($type:ty),+) => {
        $(impl<'q> IntoValue<'q> for $type {
            fn into_value(self) -> Value<'q> {
                Value::Integer(Some(i64::from(self)))
            }
        })+
    };
}
integers!(i64, i32, u32, u8, i8, bool);

impl<'q> IntoValue<'q> for Option<i64> {
    fn into_value(self) -> Value<'q> {
        Value::Integer(self)
    }
}

impl<'q> IntoValue<'q> for &'q str {
    fn into_value(self) -> Value<'q> {
        Value::Text(Some(Cow::Borrowed(self)))
    }
}

impl<'q> IntoValue<'q> for &'q String {
    fn into_value(self) -> Value<'q> {
        Value::Text(Some(Cow::Borrowed(self)))
    }
}

impl<'q> IntoValue<'q> for String {
    fn into_value(self) -> Value<'q> {
        Value::Text(Some(Cow::Owned(self)))
    }
}

impl<'q> IntoValue<'q> for Option<&'q str> {
    fn into_value(self) -> Value<'q> {
        Value::Text(self.map(Cow::Borrowed))
    }
}

impl<'q> IntoValue<'q> for &'q Option<String> {
    fn into_value(self) -> Value<'q> {
        Value::Text(self.as_deref().map(Cow::Borrowed))
    }
}

impl<'q> IntoValue<'q> for Option<String> {
    fn into_value(self) -> Value<'q> {
        Value::Text(self.map(Cow::Owned))
    }
}

impl<'q> IntoValue<'q> for &'q Vec<u8> {
    fn into_value(self) -> Value<'q> {
        Value::Bytes(Some(Cow::Borrowed(self)))
    }
}

impl<'q> IntoValue<'q> for Json {
    fn into_value(self) -> Value<'q> {
        Value::Json(self.0)
    }
}

/// PostgreSQL's texts have no U+0000, which what a provider answers may have, also not as an escape in a JSON that it is to
/// take apart.
fn json_without_nul(mut text: String) -> String {
    const NUL: &str = "\\u0000";
    let mut from = 0;
    while let Some(found) = text[from..].find(NUL) {
        let at = from + found;
        let backslashes = text[..at].bytes().rev().take_while(|byte| *byte == b'\\').count();
        // Behind an odd number of others it is a backslash that is written out, and four digits behind a letter.
        if backslashes % 2 == 0 {
            text.replace_range(at..at + NUL.len(), "\u{FFFD}");
        }
        from = at + 1;
        while !text.is_char_boundary(from) {
            from += 1;
        }
    }
    text
}

/// The same of a text as it is.
fn without_nul(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{FFFD}")) } else { text }
}

/// The values as SQLite takes them.
pub(super) fn sqlite_arguments(values: Vec<Value<'_>>) -> Result<SqliteArguments, sqlx::Error> {
    let mut arguments = SqliteArguments::default();
    arguments.reserve(values.len(), 0);
    for value in values {
        match value {
            Value::Integer(value) => arguments.add(value),
            Value::Text(value) => arguments.add(value.map(Cow::into_owned)),
            Value::Json(value) => arguments.add(value),
            Value::Bytes(value) => arguments.add(value.map(Cow::into_owned)),
            Value::IntegerList(_) | Value::TextList(_) | Value::BytesList(_) => {
                unreachable!("a list is rows to SQLite")
            }
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

/// The values as PostgreSQL takes them.
pub(super) fn postgres_arguments(values: Vec<Value<'_>>) -> Result<PgArguments, sqlx::Error> {
    let mut arguments = PgArguments::default();
    for value in values {
        match value {
            Value::Integer(value) => arguments.add(value),
            Value::Text(value) => arguments.add(value.map(without_nul).as_deref()),
            Value::Json(value) => arguments.add(json_without_nul(value)),
            Value::Bytes(value) => arguments.add(value.as_deref()),
            Value::IntegerList(values) => arguments.add(values),
            Value::TextList(values) => {
                let values: Vec<Option<Cow<'_, str>>> =
                    values.into_iter().map(|value| value.map(without_nul)).collect();
                let values: Vec<Option<&str>> = values.iter().map(Option::as_deref).collect();
                arguments.add(values)
            }
            Value::BytesList(values) => {
                let values: Vec<Option<&[u8]>> = values.iter().map(Option::as_deref).collect();
                arguments.add(values)
            }
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_in_a_json_is_replaced_and_a_backslash_that_is_written_out_is_not() {
        for text in ["a\0b", "\0", "\0\0", "\\u0000", "\\\0", "\\\\u0000", "磁\0盘", "\"\0\"", "nothing"] {
            let Json(written) = json(&[text]);
            let read: Vec<String> = serde_json::from_str(&json_without_nul(written)).unwrap();
            assert_eq!(read, [text.replace('\0', "\u{FFFD}")], "{text:?}");
        }
    }

    #[test]
    fn what_is_shown_of_a_value_is_its_kind() {
        let shown = format!("{:?} {:?}", "CANARY".into_value(), json(&["CANARY"]).into_value());
        assert_eq!(shown, "Text Json");
    }
}
