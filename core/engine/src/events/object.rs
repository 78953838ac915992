//! Writing a JSON object, member by member: thousands of events a second are written, each a few strings.

use tidings_model::Timestamp;

/// An object that is being written.
pub(crate) struct Object {
    text: String,
}

impl Object {
    pub(crate) fn new() -> Object {
        let mut text = String::with_capacity(192);
        text.push('{');
        Object { text }
    }

    /// The object, whole.
    pub(crate) fn end(mut self) -> String {
        self.text.push('}');
        self.text
    }

    pub(crate) fn text(&mut self, name: &str, value: &str) {
        let value = serde_json::to_string(value).expect("a string is JSON");
        self.raw(name, &value);
    }

    /// The same, left out where it is empty.
    pub(crate) fn some(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.text(name, value);
        }
    }

    pub(crate) fn number(&mut self, name: &str, value: u64) {
        self.raw(name, &value.to_string());
    }

    pub(crate) fn instant(&mut self, name: &str, value: Option<Timestamp>) {
        if let Some(at) = value {
            self.text(name, &at.to_rfc3339());
        }
    }

    /// A value that is JSON already.
    pub(crate) fn raw(&mut self, name: &str, json: &str) {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        self.text.push('"');
        self.text.push_str(name);
        self.text.push_str("\":");
        self.text.push_str(json);
    }
}
