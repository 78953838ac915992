//! Settings: what a plugin reads from config, said once, so that the engine can check it and show it.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

/// One key a plugin understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// The key.
    pub name: &'static str,
    /// What its value may be.
    pub kind: SettingKind,
    /// Whether config must give it.
    pub required: bool,
    /// What it is when config does not give it, as text.
    pub default: Option<&'static str>,
    /// A value that would do, as text: for documents, and for a check of the plugin.
    pub example: Option<&'static str>,
    /// One sentence for people.
    pub about: &'static str,
}

/// What the value of a setting may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingKind {
    /// A string as it stands.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A secret: `{ env = "…" }` or `{ file = "…" }` in config, never shown.
    Secret,
    /// An `http` or `https` address.
    Url,
    /// A whole number in this range.
    Number {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// `true` or `false`.
    Boolean,
    /// A duration such as `5s`. Settings hold it in milliseconds.
    Duration,
    /// A list of strings as they stand.
    TextList,
    /// A table of strings as they stand.
    TextTable,
    /// A string that the renderer fills in.
    Template,
    /// A path with a query that the renderer fills in; values in the query are URL-encoded.
    PageTemplate,
    /// A table of strings that the renderer fills in.
    TemplateTable,
}

impl Setting {
    /// A plain string.
    pub const fn text(name: &'static str, about: &'static str) -> Setting {
        Setting::of(name, SettingKind::Text, about)
    }

    /// A whole number not below zero.
    pub const fn number(name: &'static str, about: &'static str) -> Setting {
        Setting::of(name, SettingKind::Number { min: 0, max: NUMBER_MAX }, about)
    }

    /// A string that the renderer fills in.
    pub const fn template(name: &'static str, about: &'static str) -> Setting {
        Setting::of(name, SettingKind::Template, about)
    }

    /// A setting of that kind, optional and without a default.
    pub const fn of(name: &'static str, kind: SettingKind, about: &'static str) -> Setting {
        Setting { name, kind, required: false, default: None, example: None, about }
    }

    /// The same, required.
    pub const fn required(self) -> Setting {
        Setting { required: true, ..self }
    }

    /// The same, with a default.
    pub const fn default(self, value: &'static str) -> Setting {
        Setting { default: Some(value), ..self }
    }

    /// The same, with an example.
    pub const fn example(self, value: &'static str) -> Setting {
        Setting { example: Some(value), ..self }
    }
}

/// The largest number: what JSON carries exactly everywhere.
pub const NUMBER_MAX: u64 = (1 << 53) - 1;

/// Checked values by key. Secrets are among them, so `Debug` shows the keys alone.
#[derive(Clone, Default, PartialEq)]
pub struct Settings(Map<String, Value>);

impl Settings {
    /// Takes values that were checked against the plugin's [`Setting`]s.
    pub fn new(values: Map<String, Value>) -> Settings {
        Settings(values)
    }

    pub(crate) fn values(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The value of `name`, if there is one.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The text of `name`; empty if it was not given and has no default.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// The number of `name`.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name).and_then(Value::as_u64)
    }

    /// Whether `name` is true; false if it was not given and has no default.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).and_then(Value::as_bool).unwrap_or_default()
    }

    /// The duration of `name`.
    pub fn duration(&self, name: &str) -> Option<Duration> {
        self.number(name).map(Duration::from_millis)
    }

    /// The strings of the list `name`; none if it was not given.
    pub fn list(&self, name: &str) -> impl Iterator<Item = &str> {
        self.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }

    /// The strings of the table `name`; none if it was not given.
    pub fn table(&self, name: &str) -> impl Iterator<Item = (&str, &str)> {
        let table = self.get(name).and_then(Value::as_object);
        table.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
    }

    /// Every key and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// An account at a provider.
#[derive(Debug, Clone, PartialEq)]
pub struct App {
    /// Its name in config.
    pub name: String,
    /// Its settings, secrets among them.
    pub settings: Settings,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_show_their_keys_and_no_value() {
        let mut values = Map::new();
        values.insert("secret".into(), "CANARY".into());
        let app = App { name: "shop".into(), settings: Settings::new(values) };
        let shown = format!("{app:?}");
        assert!(shown.contains("secret") && !shown.contains("CANARY"), "{shown}");
    }
}
