//! Many rows in one statement.
//!
//! Each statement costs a hop to SQLite's thread and back, and each row that comes back costs another: a statement per
//! row would be most of what a commit takes. So rows go in as one `VALUES` list, bound value by value (reading them out
//! of JSON costs several times as much as writing them), and come back as one JSON array.

use serde::de::DeserializeOwned;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Row as _, Sqlite};

use crate::error::StoreError;

/// The numbers of rows a statement is prepared for. A list takes the smallest that holds it; the values that are then
/// left over are NULL, and the statement skips them. The largest, times the columns of our widest row, stays below
/// SQLite's bound on variables, 32766.
const SIZES: [usize; 5] = [1, 8, 64, 256, ROWS_MAX];

/// Rows of one statement. What is longer is written in several.
pub(super) const ROWS_MAX: usize = 1024;

/// A statement over a list of rows: its file has one row as `VALUES (?, …)`, and no other variable.
#[derive(Debug)]
pub(super) struct RowsStatement {
    texts: [String; SIZES.len()],
}

impl RowsStatement {
    /// # Panics
    ///
    /// If the text has no row of variables.
    pub(super) fn new(sql: &str) -> RowsStatement {
        let open = sql.find("VALUES (?").expect("a statement over rows has `VALUES (?`") + "VALUES ".len();
        let close = open + sql[open..].find(')').expect("the row is closed") + 1;
        let (before, row, after) = (&sql[..open], &sql[open..close], &sql[close..]);
        RowsStatement { texts: SIZES.map(|size| format!("{before}{}{after}", vec![row; size].join(", "))) }
    }

    /// The statement for so many rows, at most [`ROWS_MAX`]: bind their values in order.
    pub(super) fn query(&'static self, rows: usize) -> Query<'static, Sqlite, SqliteArguments> {
        let size = SIZES.iter().position(|size| rows <= *size).expect("lists are cut at ROWS_MAX");
        sqlx::query(self.texts[size].as_str())
    }
}

/// The one row of one JSON array that a statement answers with.
pub(super) async fn fetch_json<T: DeserializeOwned>(
    query: Query<'_, Sqlite, SqliteArguments>,
    connection: &mut SqliteConnection,
    action: &'static str,
) -> Result<T, StoreError> {
    let row = query.fetch_one(connection).await.map_err(StoreError::during(action))?;
    let text: &str = row.try_get(0).map_err(StoreError::during(action))?;
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt(format!("{action}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_has_as_many_rows_as_its_size() {
        let statement = RowsStatement::new("WITH j (a, b) AS (VALUES (?, ?)) SELECT a FROM j WHERE a IS NOT NULL");
        assert_eq!(
            statement.texts[1].matches("(?, ?)").count(),
            SIZES[1],
            "the second text is for the second size: {}",
            statement.texts[1]
        );
        assert!(statement.texts[0].contains("(VALUES (?, ?)) SELECT"));
    }
}
