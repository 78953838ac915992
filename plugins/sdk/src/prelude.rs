//! What the author of a provider needs: `use tidings_sdk::prelude::*`.

pub use serde_json::{Map, Value, json};

pub use crate::http::{Request, Response, percent_encode};
pub use crate::kinds::{Page, Secret, Template, TemplateTable, Text, Url};
pub use crate::plugin::Plugin;
pub use crate::provider::{Provider, outcome_of};
pub use crate::record::Record;
pub use crate::settings::App;
pub use crate::transport::{Delivery, Violation};
pub use tidings_model::Outcome;
