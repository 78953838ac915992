//! Settings as a struct: written once, with its comments, and read by name and type.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::settings::{NUMBER_MAX, Setting, SettingKind, Settings};

/// A struct made by `settings!`.
pub trait Record: Sized {
    /// Its fields, as config has them.
    const SETTINGS: &'static [Setting];

    /// Reads values that were checked against these settings.
    fn read(values: &Map<String, Value>) -> Self;
}

impl Settings {
    /// These settings as a struct made by `settings!`.
    pub fn read<T: Record>(&self) -> T {
        T::read(self.values())
    }
}

/// Makes a struct of settings: its fields are what config has, their comments what people read of them, their types
/// what a value may be. A field of `Option` may be left out, and so may one with a default.
///
/// ```
/// use tidings_sdk::prelude::*;
///
/// tidings_sdk::settings! {
///     /// An account at Acme.
///     pub struct Acme {
///         /// where Acme answers
///         endpoint: Url = "https://api.acme.example",
///         /// the key from Acme's console
///         key: Secret,
///         /// who is shown as the sender
///         sender: Option<Text>,
///     }
/// }
///
/// let names: Vec<_> = Acme::SETTINGS.iter().map(|it| (it.name, it.required, it.about)).collect();
/// assert_eq!(names[0], ("endpoint", false, "where Acme answers"));
/// assert_eq!(names[1], ("key", true, "the key from Acme's console"));
/// assert_eq!(names[2], ("sender", false, "who is shown as the sender"));
/// ```
#[macro_export]
macro_rules! settings {
    (@default) => { None };
    (@default $default:literal) => { Some(concat!($default)) };
    ($(#[$about:meta])* $visibility:vis struct $name:ident {
        $($(#[doc = $doc:literal])+ $field:ident: $kind:ty $(= $default:literal)?),* $(,)?
    }) => {
        $(#[$about])*
        #[derive(Debug, Clone)]
        $visibility struct $name {
            $($(#[doc = $doc])+ $visibility $field: $kind,)*
        }

        impl $crate::Record for $name {
            const SETTINGS: &'static [$crate::Setting] = &[
                $($crate::kinds::setting::<$kind>(
                    stringify!($field),
                    concat!($($doc),+),
                    $crate::settings!(@default $($default)?),
                ),)*
            ];

            fn read(values: &$crate::prelude::Map<String, $crate::prelude::Value>) -> $name {
                $name { $($field: <$kind as $crate::kinds::Kind>::read(values.get(stringify!($field))),)* }
            }
        }
    };
}

/// What a field of `settings!` may be; beside these `u64`, `bool`, [`Duration`], `Vec<String>`, and `Option` of each.
pub mod kinds {
    use super::*;

    /// A type that a setting may have.
    pub trait Kind {
        /// What config may give.
        const KIND: SettingKind;
        /// Whether config must give it where it has no default.
        const REQUIRED: bool = true;

        /// The value: what was given, or the default. Nothing, where neither is there.
        fn read(value: Option<&Value>) -> Self;
    }

    /// What `settings!` makes of a field.
    #[doc(hidden)]
    pub const fn setting<K: Kind>(name: &'static str, doc: &'static str, default: Option<&'static str>) -> Setting {
        let required = K::REQUIRED && default.is_none();
        Setting { name, kind: K::KIND, required, default, example: None, about: doc.trim_ascii() }
    }

    macro_rules! texts {
        ($($(#[$about:meta])* $name:ident is $kind:expr;)*) => {
            $(
                $(#[$about])*
                #[derive(Clone, Default, PartialEq, Eq)]
                pub struct $name(String);

                impl Kind for $name {
                    const KIND: SettingKind = $kind;

                    fn read(value: Option<&Value>) -> $name {
                        $name(value.and_then(Value::as_str).unwrap_or_default().to_owned())
                    }
                }

                impl Deref for $name {
                    type Target = str;

                    fn deref(&self) -> &str {
                        &self.0
                    }
                }

                impl fmt::Debug for $name {
                    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        match $kind {
                            // Of a filled-in text, too: what is said to people is nobody's in a log.
                            SettingKind::Secret | SettingKind::Template | SettingKind::PageTemplate => f.write_str("…"),
                            _ => fmt::Debug::fmt(&self.0, f),
                        }
                    }
                }
            )*
        };
    }

    texts! {
        /// A string as it stands.
        Text is SettingKind::Text;
        /// An `http` or `https` address.
        Url is SettingKind::Url;
        /// A secret: `Debug` hides it, and there is no `Display`. Its text is what `*` gives.
        Secret is SettingKind::Secret;
        /// A string that the renderer fills in.
        Template is SettingKind::Template;
        /// A path with a query that the renderer fills in.
        Page is SettingKind::PageTemplate;
    }

    macro_rules! displayed {
        ($($name:ident),*) => {
            $(impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(&self.0)
                }
            })*
        };
    }

    displayed!(Text, Url, Template, Page);

    /// A table of strings that the renderer fills in.
    #[derive(Clone, Default, PartialEq, Eq)]
    pub struct TemplateTable(BTreeMap<String, String>);

    impl Deref for TemplateTable {
        type Target = BTreeMap<String, String>;

        fn deref(&self) -> &BTreeMap<String, String> {
            &self.0
        }
    }

    impl fmt::Debug for TemplateTable {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_set().entries(self.0.keys()).finish()
        }
    }

    impl Kind for TemplateTable {
        const KIND: SettingKind = SettingKind::TemplateTable;
        const REQUIRED: bool = false;

        fn read(value: Option<&Value>) -> TemplateTable {
            TemplateTable(Kind::read(value))
        }
    }

    impl Kind for BTreeMap<String, String> {
        const KIND: SettingKind = SettingKind::TextTable;
        const REQUIRED: bool = false;

        fn read(value: Option<&Value>) -> BTreeMap<String, String> {
            let rows = value.and_then(Value::as_object).into_iter().flatten();
            rows.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
        }
    }

    impl Kind for Vec<String> {
        const KIND: SettingKind = SettingKind::TextList;
        const REQUIRED: bool = false;

        fn read(value: Option<&Value>) -> Vec<String> {
            let items = value.and_then(Value::as_array).into_iter().flatten();
            items.filter_map(|item| Some(item.as_str()?.to_owned())).collect()
        }
    }

    impl Kind for u64 {
        const KIND: SettingKind = SettingKind::Number { min: 0, max: NUMBER_MAX };

        fn read(value: Option<&Value>) -> u64 {
            value.and_then(Value::as_u64).unwrap_or_default()
        }
    }

    impl Kind for bool {
        const KIND: SettingKind = SettingKind::Boolean;
        const REQUIRED: bool = false;

        fn read(value: Option<&Value>) -> bool {
            value.and_then(Value::as_bool).unwrap_or_default()
        }
    }

    impl Kind for Duration {
        const KIND: SettingKind = SettingKind::Duration;

        fn read(value: Option<&Value>) -> Duration {
            Duration::from_millis(Kind::read(value))
        }
    }

    impl<T: Kind> Kind for Option<T> {
        const KIND: SettingKind = T::KIND;
        const REQUIRED: bool = false;

        fn read(value: Option<&Value>) -> Option<T> {
            value.map(|value| T::read(Some(value)))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::kinds::{Secret, Template, TemplateTable, Text, Url};
    use super::*;

    settings! {
        /// One of each.
        struct Everything {
            /// where
            /// it answers
            endpoint: Url = "https://a.example",
            /// a key
            key: Secret,
            /// how many
            count: u64 = 5,
            /// whether
            flag: bool,
            /// how long
            wait: Duration = "5s",
            /// who
            sender: Option<Text>,
            /// what for what
            words: BTreeMap<String, String>,
            /// which
            names: Vec<String>,
            /// what is said
            text: Template,
            /// what in each
            rows: TemplateTable,
        }
    }

    #[test]
    fn a_struct_of_settings_says_what_config_may_have() {
        let said: Vec<_> =
            Everything::SETTINGS.iter().map(|it| (it.name, it.kind, it.required, it.default, it.about)).collect();
        let number = SettingKind::Number { min: 0, max: NUMBER_MAX };
        assert_eq!(
            said,
            [
                ("endpoint", SettingKind::Url, false, Some("https://a.example"), "where it answers"),
                ("key", SettingKind::Secret, true, None, "a key"),
                ("count", number, false, Some("5"), "how many"),
                ("flag", SettingKind::Boolean, false, None, "whether"),
                ("wait", SettingKind::Duration, false, Some("5s"), "how long"),
                ("sender", SettingKind::Text, false, None, "who"),
                ("words", SettingKind::TextTable, false, None, "what for what"),
                ("names", SettingKind::TextList, false, None, "which"),
                ("text", SettingKind::Template, true, None, "what is said"),
                ("rows", SettingKind::TemplateTable, false, None, "what in each"),
            ]
        );
    }

    #[test]
    fn it_reads_what_was_given_and_hides_what_is_secret() {
        let given = json!({
            "endpoint": "https://b.example", "key": "CANARY", "count": 7, "flag": true, "wait": 1500, "sender": "ops",
            "words": {"a": "b"}, "names": ["x", "y"], "text": "CANARY", "rows": {"r": "CANARY"},
        });
        let Value::Object(given) = given else { unreachable!("it is one") };
        let read: Everything = Settings::new(given).read();
        assert_eq!((&*read.endpoint, &*read.key, read.count), ("https://b.example", "CANARY", 7));
        assert_eq!((read.flag, read.wait), (true, Duration::from_millis(1500)));
        assert_eq!((read.sender.as_deref(), read.words["a"].as_str()), (Some("ops"), "b"));
        assert_eq!((read.names.join("+"), &*read.text, read.rows["r"].as_str()), ("x+y".into(), "CANARY", "CANARY"));
        let shown = format!("{read:?}");
        assert!(shown.contains("https://b.example") && !shown.contains("CANARY"), "{shown}");
    }

    #[test]
    fn what_was_not_given_is_nothing() {
        let read: Everything = Settings::default().read();
        assert_eq!((read.sender, read.flag, &*read.key), (None, false, ""));
    }
}
