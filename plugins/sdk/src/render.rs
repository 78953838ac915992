//! The third stage: the strings of a template, filled in.

use serde_json::{Map, Value};

use crate::settings::App;
use crate::transport::Violation;

/// Fills the strings of a template in. The same template and data always make the same content.
pub trait Renderer: Send + Sync {
    /// The content: a value for each key of `parts`, those that are to be filled in from `data`, a JSON object.
    ///
    /// # Errors
    ///
    /// The first string that cannot be filled in, and why, without the data's values.
    fn render(&self, app: &App, parts: &[(String, Part)], data: &Value) -> Result<Map<String, Value>, Violation>;
}

/// What a template's key holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Fixed(Value),
    /// A string to fill in.
    Text(String),
    /// A page to fill in: a path with a query, whose values are percent-encoded.
    Page(String),
    /// Strings to fill in, by name.
    Table(Vec<(String, String)>),
}
