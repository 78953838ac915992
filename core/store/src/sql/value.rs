//! What a statement is given: whole numbers, texts and bytes, and lists of them.

use std::borrow::Cow;

use sqlx::Arguments as _;
use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;

/// A value of a variable.
#[derive(Debug, Clone)]
pub(crate) enum Value<'q> {
    Integer(Option<i64>),
    Text(Option<Cow<'q, str>>),
    Bytes(Option<Cow<'q, [u8]>>),
    /// A column of a list, as PostgreSQL takes it.
    IntegerList(Vec<Option<i64>>),
    TextList(Vec<Option<Cow<'q, str>>>),
    BytesList(Vec<Option<Cow<'q, [u8]>>>),
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

/// PostgreSQL's texts have no U+0000, which what a provider answers may have.
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
