//! Many rows in one statement.
//!
//! Each statement costs a hop to SQLite's thread or to PostgreSQL and back, and each row that comes back costs another: a
//! statement per row would be most of what a commit takes. So rows go in as one list, bound value by value (reading them
//! out of JSON costs several times as much as writing them), and come back as one JSON array. SQLite has the list as
//! `VALUES`, row by row; PostgreSQL as one array for each column.

use super::value::Value;
use super::{Dialect, Query, Statement, Text};

/// The numbers of rows a statement is prepared for in SQLite. A list takes the smallest that holds it; the values that are
/// then left over are NULL, and the statement skips them. The largest, times the columns of our widest row, stays below
/// SQLite's bound on variables, 32766.
const SIZES: [usize; 7] = [1, 8, 16, 32, 64, 256, ROWS_MAX];

/// Rows of one statement. What is longer is written in several.
pub(crate) const ROWS_MAX: usize = 1024;

/// What the elements of a column are to PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Integer,
    Text,
    Bytes,
}

/// A statement over a list of rows. SQLite's text has one row as `VALUES (?, …)`, and no other variable; PostgreSQL's has
/// `unnest($1::bigint[], $2::text[], …)`, and other variables behind them. Or several texts, of which each has a list of
/// as many rows and which are one hop: for SQLite alone.
#[derive(Debug)]
pub(crate) struct RowsStatement {
    sqlite: [String; SIZES.len()],
    /// How many values a row of each statement has.
    columns: Vec<usize>,
    postgres: &'static str,
    kinds: Vec<Kind>,
}

impl RowsStatement {
    /// # Panics
    ///
    /// If a text has no row of variables.
    pub(crate) fn new(statement: Statement) -> RowsStatement {
        let list = RowsStatement::one_after_the_other(&[statement.text(Dialect::Sqlite)]);
        let postgres = statement.text(Dialect::Postgres);
        let kinds = kinds(postgres);
        assert_eq!(kinds.len(), list.columns[0], "both dialects have the same columns: {postgres}");
        RowsStatement { postgres, kinds, ..list }
    }

    /// Several, for SQLite.
    ///
    /// # Panics
    ///
    /// If one of the texts has no row of variables.
    pub(crate) fn one_after_the_other(sql: &[&str]) -> RowsStatement {
        let parts: Vec<(&str, &str, &str)> = sql.iter().map(|sql| around_the_row(sql)).collect();
        let text = |size| {
            let parts =
                parts.iter().map(|(before, row, after)| format!("{before}{}{after}", vec![*row; size].join(", ")));
            parts.collect::<Vec<String>>().join(";\n")
        };
        let columns = parts.iter().map(|(_, row, _)| row.matches('?').count()).collect();
        RowsStatement { sqlite: SIZES.map(text), columns, postgres: "", kinds: Vec::new() }
    }

    /// One that only PostgreSQL has.
    ///
    /// # Panics
    ///
    /// If the text has no columns of variables.
    pub(crate) fn of_postgres(text: &'static str) -> RowsStatement {
        let kinds = kinds(text);
        RowsStatement { sqlite: Default::default(), columns: vec![kinds.len()], postgres: text, kinds }
    }

    /// The statement for so many rows, at most [`ROWS_MAX`]: bind their values in order.
    pub(crate) fn query<'q>(&'static self, rows: usize) -> Query<'q> {
        let mut query = Query::of(Text::List(self, rows));
        query.values.reserve(rows * self.columns.iter().sum::<usize>());
        query
    }

    /// Ends the list of one of several statements, where the next one's list begins: `rows` of it were bound.
    pub(crate) fn end_list<'q>(&self, statement: usize, rows: usize, mut query: Query<'q>) -> Query<'q> {
        let missing = (SIZES[size(rows)] - rows) * self.columns[statement];
        query.values.extend(std::iter::repeat_with(|| Value::Integer(None)).take(missing));
        query
    }

    /// The text and the values as a dialect has them.
    pub(super) fn resolve<'q>(
        &'static self,
        dialect: Dialect,
        rows: usize,
        values: Vec<Value<'q>>,
    ) -> (&'static str, Vec<Value<'q>>) {
        match dialect {
            // What is not bound is NULL.
            Dialect::Sqlite => (&self.sqlite[size(rows)], values),
            Dialect::Postgres => (self.postgres, self.columns_of(values)),
        }
    }

    fn columns_of<'q>(&self, values: Vec<Value<'q>>) -> Vec<Value<'q>> {
        let rows = values.len() / self.kinds.len();
        let empty = |kind: &Kind| match kind {
            Kind::Integer => Value::IntegerList(Vec::with_capacity(rows)),
            Kind::Text => Value::TextList(Vec::with_capacity(rows)),
            Kind::Bytes => Value::BytesList(Vec::with_capacity(rows)),
        };
        let mut columns: Vec<Value<'q>> = self.kinds.iter().map(empty).collect();
        for (index, value) in values.into_iter().enumerate() {
            match (&mut columns[index % self.kinds.len()], value) {
                (Value::IntegerList(column), Value::Integer(value)) => column.push(value),
                (Value::TextList(column), Value::Text(value)) => column.push(value),
                (Value::BytesList(column), Value::Bytes(value)) => column.push(value),
                (column, value) => unreachable!("{value:?} in {column:?} of {}", self.postgres),
            }
        }
        columns
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

/// The kinds of the columns, by what PostgreSQL's text says of them: of the variables from the first on, as far as they are
/// lists.
fn kinds(sql: &str) -> Vec<Kind> {
    let open = sql.find("($1::").expect("a statement over rows has a list as its first variable") + 1;
    let close = open + sql[open..].find(')').expect("the list is closed");
    let kind = |column: &str| match column.rsplit("::").next().map(str::trim) {
        Some("bigint[]") => Some(Kind::Integer),
        Some("text[]") => Some(Kind::Text),
        Some("bytea[]") => Some(Kind::Bytes),
        Some(list) if list.ends_with("[]") => panic!("`{column}` is no column of numbers, texts or bytes"),
        _ => None,
    };
    let kinds: Vec<Kind> = sql[open..close].split(',').map_while(kind).collect();
    assert!(!kinds.is_empty(), "the first variable is a list: {sql}");
    kinds
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use sqlx::Connection as _;
    use sqlx::sqlite::SqliteConnection;

    use super::super::{Connection, both};
    use super::*;

    #[test]
    fn a_statement_has_as_many_rows_as_its_size() {
        let statement = RowsStatement::new(Statement::new(
            "WITH j (a, b) AS (VALUES (?, ?)) SELECT a FROM j WHERE a IS NOT NULL",
            "WITH j (a, b) AS (SELECT * FROM unnest($1::bigint[], $2::text[])) SELECT a FROM j",
        ));
        assert_eq!(
            statement.sqlite[1].matches("(?, ?)").count(),
            SIZES[1],
            "the second text is for the second size: {}",
            statement.sqlite[1]
        );
        assert!(statement.sqlite[0].contains("(VALUES (?, ?)) SELECT"));
        assert_eq!(statement.kinds, [Kind::Integer, Kind::Text]);
    }

    #[test]
    fn the_lists_of_a_call_end_where_its_other_arguments_begin() {
        assert_eq!(kinds("SELECT f($1::bigint[], $2::text[], $3::jsonb, $4)"), [Kind::Integer, Kind::Text]);
    }

    #[test]
    #[should_panic(expected = "is no column of numbers, texts or bytes")]
    fn a_list_of_another_kind_is_no_column() {
        kinds("SELECT * FROM unnest($1::bigint[], $2::double[])");
    }

    #[tokio::test]
    async fn several_statements_take_each_its_own_rows_and_skip_what_is_left_over() {
        static BOTH: LazyLock<RowsStatement> = LazyLock::new(|| {
            RowsStatement::one_after_the_other(&[
                "WITH new (a, b) AS (VALUES (?, ?)) INSERT INTO t SELECT a, b FROM new WHERE a IS NOT NULL",
                "WITH new (a) AS (VALUES (?)) INSERT INTO u SELECT a FROM new WHERE a IS NOT NULL",
            ])
        });
        let mut connection = Connection::from(SqliteConnection::connect(":memory:").await.unwrap());
        connection.run_script("CREATE TABLE t (a, b); CREATE TABLE u (a)").await.unwrap();
        for rows in [1, 2, 7, 8, 9, 64, 65, ROWS_MAX] {
            let mut query = BOTH.query(rows);
            for row in 0..rows {
                query = query.bind(row as i64).bind("b");
            }
            query = BOTH.end_list(0, rows, query);
            for row in 0..rows {
                query = query.bind(row as i64);
            }
            assert_eq!(query.execute(&mut connection).await.unwrap(), 2 * rows as u64);
            let sql = both("SELECT count(*) FROM t JOIN u ON t.a = u.a WHERE b = 'b'");
            let found: i64 = sql.fetch_scalar(&mut connection).await.unwrap();
            assert_eq!(found, rows as i64);
            connection.run_script("DELETE FROM t; DELETE FROM u").await.unwrap();
        }
    }
}
