//! Many rows in one statement.
//!
//! Each statement costs a hop to SQLite's thread and back, and each row that comes back costs another: a statement per
//! row would be most of what a commit takes. So rows go in as one `VALUES` list, bound value by value (reading them out
//! of JSON costs several times as much as writing them), and come back as one JSON array.

use serde::de::DeserializeOwned;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Row as _, Sqlite};

use super::tick::StepQuery;
use crate::error::StoreError;

/// The numbers of rows a statement is prepared for. A list takes the smallest that holds it; the values that are then
/// left over are NULL, and the statement skips them. The largest, times the columns of our widest row, stays below
/// SQLite's bound on variables, 32766.
const SIZES: [usize; 5] = [1, 8, 64, 256, ROWS_MAX];

/// Rows of one statement. What is longer is written in several.
pub(super) const ROWS_MAX: usize = 1024;

/// A statement over a list of rows: its file has one row as `VALUES (?, …)`, and no other variable. Or several, of which
/// each has a list of as many rows: they are one hop.
#[derive(Debug)]
pub(super) struct RowsStatement {
    texts: [String; SIZES.len()],
    /// How many values a row of each statement has.
    columns: Vec<usize>,
}

impl RowsStatement {
    /// # Panics
    ///
    /// If the text has no row of variables.
    pub(super) fn new(sql: &str) -> RowsStatement {
        RowsStatement::one_after_the_other(&[sql])
    }

    /// # Panics
    ///
    /// If one of the texts has no row of variables.
    pub(super) fn one_after_the_other(sql: &[&str]) -> RowsStatement {
        let parts: Vec<(&str, &str, &str)> = sql.iter().map(|sql| around_the_row(sql)).collect();
        let text = |size| {
            let parts =
                parts.iter().map(|(before, row, after)| format!("{before}{}{after}", vec![*row; size].join(", ")));
            parts.collect::<Vec<String>>().join(";\n")
        };
        let columns = parts.iter().map(|(_, row, _)| row.matches('?').count()).collect();
        RowsStatement { texts: SIZES.map(text), columns }
    }

    /// The statement for so many rows, at most [`ROWS_MAX`]: bind their values in order.
    pub(super) fn query(&'static self, rows: usize) -> StepQuery<'static> {
        sqlx::query(self.texts[size(rows)].as_str())
    }

    /// Ends the list of one of several statements, where the next one's list begins: `rows` of it were bound.
    pub(super) fn end_list(&self, statement: usize, rows: usize, mut query: StepQuery<'static>) -> StepQuery<'static> {
        for _ in 0..(SIZES[size(rows)] - rows) * self.columns[statement] {
            query = query.bind(None::<i64>);
        }
        query
    }
}

/// Which size holds so many rows.
fn size(rows: usize) -> usize {
    SIZES.iter().position(|size| rows <= *size).expect("lists are cut at ROWS_MAX")
}

/// A statement's text before its row of variables, the row, and what follows.
fn around_the_row(sql: &str) -> (&str, &str, &str) {
    let open = sql.find("VALUES (?").expect("a statement over rows has `VALUES (?`") + "VALUES ".len();
    let close = open + sql[open..].find(')').expect("the row is closed") + 1;
    (&sql[..open], &sql[open..close], sql[close..].trim_end())
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
    use std::sync::LazyLock;

    use sqlx::Connection as _;

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

    #[tokio::test]
    async fn several_statements_take_each_its_own_rows_and_skip_what_is_left_over() {
        static BOTH: LazyLock<RowsStatement> = LazyLock::new(|| {
            RowsStatement::one_after_the_other(&[
                "WITH new (a, b) AS (VALUES (?, ?)) INSERT INTO t SELECT a, b FROM new WHERE a IS NOT NULL",
                "WITH new (a) AS (VALUES (?)) INSERT INTO u SELECT a FROM new WHERE a IS NOT NULL",
            ])
        });
        let mut connection = SqliteConnection::connect(":memory:").await.unwrap();
        sqlx::raw_sql("CREATE TABLE t (a, b); CREATE TABLE u (a)").execute(&mut connection).await.unwrap();
        for rows in [1, 2, 7, 8, 9, 64, 65, ROWS_MAX] {
            let mut query = BOTH.query(rows);
            for row in 0..rows {
                query = query.bind(row as i64).bind("b");
            }
            query = BOTH.end_list(0, rows, query);
            for row in 0..rows {
                query = query.bind(row as i64);
            }
            let done = query.execute(&mut connection).await.unwrap();
            assert_eq!(done.rows_affected(), 2 * rows as u64);
            let sql = "SELECT count(*) FROM t JOIN u ON t.a = u.a WHERE b = 'b'";
            let found: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
            assert_eq!(found, rows as i64);
            sqlx::raw_sql("DELETE FROM t; DELETE FROM u").execute(&mut connection).await.unwrap();
        }
    }
}
