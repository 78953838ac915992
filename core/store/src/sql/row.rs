//! A row of an answer.

use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Column as _, TypeInfo as _};

use crate::error::StoreError;

/// A row, of either database.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// What a column is read as.
///
/// Which columns a statement answers with is ours alone: one of another kind is a mistake of this crate, and a panic.
pub(crate) trait FromColumn {
    fn from_column(row: &Row, index: usize) -> Self;
}

impl Row {
    pub(crate) fn get<T: FromColumn>(&self, index: usize) -> T {
        T::from_column(self, index)
    }

    /// A text, where it stands.
    pub(crate) fn text(&self, index: usize) -> &str {
        match self {
            Row::Sqlite(row) => row.get(index),
            Row::Postgres(row) => row.get(index),
        }
    }

    /// What stands in a column as JSON. `action` is what the statement was for.
    pub(crate) fn json<T: DeserializeOwned>(&self, index: usize, action: &'static str) -> Result<T, StoreError> {
        serde_json::from_str(self.text(index)).map_err(|error| StoreError::Corrupt(format!("{action}: {error}")))
    }

    /// A whole number or a truth, of whatever width.
    fn integer(&self, index: usize) -> Option<i64> {
        match self {
            Row::Sqlite(row) => row.get(index),
            Row::Postgres(row) => match row.column(index).type_info().name() {
                "INT2" => row.get::<Option<i16>, _>(index).map(i64::from),
                "INT4" => row.get::<Option<i32>, _>(index).map(i64::from),
                "BOOL" => row.get::<Option<bool>, _>(index).map(i64::from),
                _ => row.get(index),
            },
        }
    }
}

impl FromColumn for Option<i64> {
    fn from_column(row: &Row, index: usize) -> Option<i64> {
        row.integer(index)
    }
}

impl FromColumn for i64 {
    fn from_column(row: &Row, index: usize) -> i64 {
        row.integer(index).expect("this number is never null")
    }
}

macro_rules! narrower {
    ($($type:ty),+) => {
        $(impl FromColumn for $type {
            fn from_column(row: &Row, index: usize) -> $type {
                <$type>::try_from(row.get::<i64>(index)).expect("this number was one of these when it was written")
            }
        })+
    };
}
narrower!(u32, u64, i8);

impl FromColumn for bool {
    fn from_column(row: &Row, index: usize) -> bool {
        row.get::<i64>(index) != 0
    }
}

impl FromColumn for Option<u32> {
    fn from_column(row: &Row, index: usize) -> Option<u32> {
        row.integer(index).map(|value| u32::try_from(value).expect("this number was one of these when it was written"))
    }
}

impl FromColumn for Option<String> {
    fn from_column(row: &Row, index: usize) -> Option<String> {
        match row {
            Row::Sqlite(row) => row.get(index),
            Row::Postgres(row) => row.get(index),
        }
    }
}

impl FromColumn for String {
    fn from_column(row: &Row, index: usize) -> String {
        row.text(index).to_owned()
    }
}

impl FromColumn for Vec<u8> {
    fn from_column(row: &Row, index: usize) -> Vec<u8> {
        match row {
            Row::Sqlite(row) => row.get(index),
            Row::Postgres(row) => row.get(index),
        }
    }
}
