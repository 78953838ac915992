//! Statements that are put together as they are asked for: lists, and their filters.

use std::fmt::Display;

use super::{Dialect, IntoValue, Query, Statement, Text};

/// A statement under way, in both dialects.
#[derive(Debug)]
pub(crate) struct Builder<'q> {
    sqlite: String,
    postgres: String,
    query: Query<'q>,
}

impl<'q> Builder<'q> {
    pub(crate) fn new(text: &str) -> Builder<'q> {
        let query = Query::of(Text::Built { sqlite: String::new(), postgres: String::new() });
        Builder { sqlite: text.to_owned(), postgres: text.to_owned(), query }
    }

    /// More of its text, which is never what somebody else wrote.
    pub(crate) fn push(&mut self, text: impl Display) -> &mut Builder<'q> {
        append(&mut self.sqlite, &text);
        append(&mut self.postgres, &text);
        self
    }

    /// What SQLite alone has to be told.
    pub(crate) fn push_sqlite(&mut self, text: impl Display) -> &mut Builder<'q> {
        append(&mut self.sqlite, &text);
        self
    }

    /// What each dialect has in its own words.
    pub(crate) fn push_each(&mut self, statement: Statement) -> &mut Builder<'q> {
        append(&mut self.sqlite, &statement.text(Dialect::Sqlite));
        append(&mut self.postgres, &statement.text(Dialect::Postgres));
        self
    }

    /// The next variable, with its value.
    pub(crate) fn push_bind(&mut self, value: impl IntoValue<'q>) -> &mut Builder<'q> {
        self.query.values.push(value.into_value());
        let number = self.query.values.len();
        self.push(format_args!("${number}"))
    }

    pub(crate) fn build(self) -> Query<'q> {
        Query { text: Text::Built { sqlite: self.sqlite, postgres: self.postgres }, ..self.query }
    }

    #[cfg(test)]
    pub(crate) fn sqlite_text(&self) -> &str {
        &self.sqlite
    }
}

fn append(text: &mut String, more: &impl Display) {
    use std::fmt::Write as _;
    write!(text, "{more}").expect("a text takes all that is written");
}
