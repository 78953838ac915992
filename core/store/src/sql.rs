//! Statements in two dialects, and what runs them.
//!
//! Everything above this module speaks of statements, values and rows, and knows neither database: a statement has a text
//! for each, most of them in files of the same name under `sql/sqlite` and `sql/postgres`. Which text is meant is known
//! when it is run, by the connection. Both dialects write variables as `$1`, `$2`, so that a text which is the same for
//! both is written once.

mod builder;
mod connection;
mod lent;
mod list;
mod planning;
mod row;
mod session;
mod value;
mod watch;

use std::borrow::Cow;

use serde::de::DeserializeOwned;

pub(crate) use builder::Builder;
pub(crate) use connection::{Connection, Look, Pool};
pub(crate) use lent::IDLE_WAIT;
pub(crate) use list::{ROWS_MAX, RowsStatement};
pub(crate) use planning::{PLAN_ANEW, PLANNING};
pub(crate) use row::{FromColumn, Row};
pub(crate) use session::{LEFT_ALONE, LEFT_ALONE_MAX, Session, Way};
use value::Value;
pub(crate) use value::{IntoValue, Json, json};
pub(crate) use watch::{ANSWER_WAIT, Backend, Watch};

use crate::error::StoreError;

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// One statement, in each dialect.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Statement {
    sqlite: &'static str,
    postgres: &'static str,
}

impl Statement {
    pub(crate) const fn new(sqlite: &'static str, postgres: &'static str) -> Statement {
        Statement { sqlite, postgres }
    }

    /// One that both understand.
    pub(crate) const fn both(text: &'static str) -> Statement {
        Statement { sqlite: text, postgres: text }
    }

    /// As it is run, with its values to come.
    pub(crate) fn query<'q>(self) -> Query<'q> {
        Query::of(Text::One(self))
    }

    /// One that only PostgreSQL has a use for.
    pub(crate) const fn of_postgres(text: &'static str) -> Statement {
        Statement { sqlite: "", postgres: text }
    }

    /// One that only SQLite has a use for.
    pub(crate) const fn of_sqlite(text: &'static str) -> Statement {
        Statement { sqlite: text, postgres: "" }
    }

    pub(crate) const fn text(self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Sqlite => self.sqlite,
            Dialect::Postgres => self.postgres,
        }
    }
}

/// The statement of that file, in each dialect.
macro_rules! sql {
    (sqlite $name:literal) => {
        $crate::sql::Statement::of_sqlite(include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/sql/sqlite/",
            $name,
            ".sql"
        )))
    };
    (postgres $name:literal) => {
        $crate::sql::Statement::of_postgres(include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/sql/postgres/",
            $name,
            ".sql"
        )))
    };
    ($name:literal) => {
        $crate::sql::Statement::new(
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/sqlite/", $name, ".sql")),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/postgres/", $name, ".sql")),
        )
    };
}
pub(crate) use sql;

/// What is run.
#[derive(Debug)]
enum Text {
    One(Statement),
    /// Over so many rows.
    List(&'static RowsStatement, usize),
    Built {
        sqlite: String,
        postgres: String,
    },
}

/// A statement with its values.
#[derive(Debug)]
pub(crate) struct Query<'q> {
    text: Text,
    values: Vec<Value<'q>>,
    /// What only PostgreSQL's text has, behind the others.
    of_postgres: Vec<Value<'q>>,
}

/// A statement that both dialects understand.
pub(crate) fn both<'q>(text: &'static str) -> Query<'q> {
    Statement::both(text).query()
}

impl<'q> Query<'q> {
    fn of(text: Text) -> Query<'q> {
        Query { text, values: Vec::new(), of_postgres: Vec::new() }
    }

    /// The next variable.
    pub(crate) fn bind(mut self, value: impl IntoValue<'q>) -> Query<'q> {
        self.values.push(value.into_value());
        self
    }

    /// The next of those variables that only PostgreSQL's text has: they stand behind all others.
    pub(crate) fn bind_postgres(mut self, value: impl IntoValue<'q>) -> Query<'q> {
        self.of_postgres.push(value.into_value());
        self
    }

    /// Runs it, and says how many rows it wrote.
    pub(crate) async fn execute(self, connection: &mut Connection) -> Result<u64, sqlx::Error> {
        connection.execute(self).await
    }

    pub(crate) async fn fetch_all(self, connection: &mut Connection) -> Result<Vec<Row>, sqlx::Error> {
        connection.fetch_all(self).await
    }

    pub(crate) async fn fetch_optional(self, connection: &mut Connection) -> Result<Option<Row>, sqlx::Error> {
        Ok(connection.fetch_all(self).await?.into_iter().next())
    }

    pub(crate) async fn fetch_one(self, connection: &mut Connection) -> Result<Row, sqlx::Error> {
        self.fetch_optional(connection).await?.ok_or(sqlx::Error::RowNotFound)
    }

    /// The first column of the one row.
    pub(crate) async fn fetch_scalar<T: FromColumn>(self, connection: &mut Connection) -> Result<T, sqlx::Error> {
        Ok(self.fetch_one(connection).await?.get(0))
    }

    /// The first column of the row there may be.
    pub(crate) async fn fetch_optional_scalar<T: FromColumn>(
        self,
        connection: &mut Connection,
    ) -> Result<Option<T>, sqlx::Error> {
        Ok(self.fetch_optional(connection).await?.map(|row| row.get(0)))
    }

    /// The first column of every row.
    pub(crate) async fn fetch_scalars<T: FromColumn>(self, connection: &mut Connection) -> Result<Vec<T>, sqlx::Error> {
        Ok(self.fetch_all(connection).await?.iter().map(|row| row.get(0)).collect())
    }

    /// The one row of one JSON text that a statement answers with.
    pub(crate) async fn fetch_json<T: DeserializeOwned>(
        self,
        connection: &mut Connection,
        action: &'static str,
    ) -> Result<T, StoreError> {
        self.fetch_one(connection).await.map_err(StoreError::during(action))?.json(0, action)
    }

    /// The text in that dialect, and its values.
    fn resolve(self, dialect: Dialect) -> (Cow<'static, str>, Vec<Value<'q>>) {
        let Query { text, mut values, of_postgres } = self;
        let text = match text {
            Text::One(statement) => Cow::Borrowed(statement.text(dialect)),
            Text::Built { sqlite, .. } if dialect == Dialect::Sqlite => Cow::Owned(sqlite),
            Text::Built { postgres, .. } => Cow::Owned(postgres),
            Text::List(list, rows) => {
                let (text, as_dialect_has_them) = list.resolve(dialect, rows, values);
                values = as_dialect_has_them;
                Cow::Borrowed(text)
            }
        };
        if dialect == Dialect::Postgres {
            values.extend(of_postgres);
        }
        (text, values)
    }
}
