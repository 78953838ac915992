//! Names and ids. A raw string or integer is none of these: each is checked once, where it enters.

use std::fmt;
use std::str::FromStr;

use crate::limits::{IDEMPOTENCY_KEY_BYTES_MAX, NAME_BYTES_MAX, RECIPIENT_BYTES_MAX};

/// Why a text is not the name or id it was given as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidName {
    kind: &'static str,
    found: String,
    expected: &'static str,
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a {}; expected {}", self.found, self.kind, self.expected)
    }
}

impl std::error::Error for InvalidName {}

fn refuse(kind: &'static str, found: &str, expected: &'static str) -> InvalidName {
    let found = found.chars().take(64).flat_map(char::escape_default).collect();
    InvalidName { kind, found, expected }
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $expected:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Checks and takes the text.
            pub fn new(text: impl Into<String>) -> Result<$name, InvalidName> {
                let text = text.into();
                let valid: fn(&str) -> bool = $valid;
                if valid(&text) { Ok($name(text)) } else { Err(refuse($kind, &text, $expected)) }
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<$name, InvalidName> {
                $name::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

/// Names in config: short, printable in a terminal column, safe in a URL path and in a file name.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= NAME_BYTES_MAX
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && !text.starts_with(['-', '.'])
}

text!(
    /// An account at a provider, by its name in config.
    AppName, "app name", "letters, digits, `-`, `_`, `.`; at most 64 bytes", is_name
);
text!(
    /// One configured pipeline, by its name in config.
    ChannelName, "channel name", "letters, digits, `-`, `_`, `.`; at most 64 bytes", is_name
);
text!(
    /// What is said, by its name in config.
    TemplateName, "template name", "letters, digits, `-`, `_`, `.`; at most 64 bytes", is_name
);
text!(
    /// A cron line, by its name in config.
    ScheduleName, "schedule name", "letters, digits, `-`, `_`, `.`; at most 64 bytes", is_name
);
text!(
    /// A key of our API, by which its callers are known.
    KeyName, "key name", "letters, digits, `-`, `_`, `.`; at most 64 bytes", is_name
);
text!(
    /// Who of ours is told what happens, by its name in config.
    WebhookName, "webhook name", "letters, digits, `-`, `_`, `.`; at most 64 bytes", is_name
);
text!(
    /// A credential source, `plugin.kind`: `wechat.form_id`.
    SourceName, "credential source", "`plugin.kind`, as in `wechat.form_id`", |text| is_name(text) && text.contains('.')
);
text!(
    /// Who is told: opaque inside an app (openid, e-mail address, URL).
    Recipient, "recipient", "1 to 512 bytes without control characters or spaces at either end",
    |text| !text.is_empty()
        && text.len() <= RECIPIENT_BYTES_MAX
        && !text.chars().any(char::is_control)
        && text.trim() == text
);
text!(
    /// What a caller gives to be able to send the same request twice (`Idempotency-Key`).
    IdempotencyKey, "idempotency key", "1 to 255 visible ASCII characters",
    |text| !text.is_empty() && text.len() <= IDEMPOTENCY_KEY_BYTES_MAX && text.bytes().all(|b| b.is_ascii_graphic())
);

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            /// Accepts the printed form and the bare number.
            fn from_str(text: &str) -> Result<$name, InvalidName> {
                let digits = text.strip_prefix(concat!($prefix, "_")).unwrap_or(text);
                match digits.parse::<i64>() {
                    Ok(number) if number > 0 && digits.bytes().all(|b| b.is_ascii_digit()) => Ok($name(number)),
                    _ => Err(refuse($kind, text, concat!("`", $prefix, "_` and a number, as in `", $prefix, "_42`"))),
                }
            }
        }
    };
}

number!(
    /// One notification to one recipient: rises in the order of acceptance, never used twice in a store.
    MessageId, "message id", "msg"
);
number!(
    /// One permit in the ledger.
    CredentialId, "credential id", "crd"
);
number!(
    /// Something that a webhook is to be told.
    NoticeId, "notice id", "evt"
);
number!(
    /// One firing of a schedule.
    RunId, "run id", "run"
);
number!(
    /// One entry in the record of changes.
    AuditId, "audit id", "aud"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_with_their_prefix_and_read_back_with_or_without_it() {
        assert_eq!(MessageId(42).to_string(), "msg_42");
        assert_eq!("msg_42".parse(), Ok(MessageId(42)));
        assert_eq!("42".parse(), Ok(MessageId(42)));
        for wrong in ["", "msg_", "msg_-1", "run_1", "msg_0", "+4", "９"] {
            let error = wrong.parse::<MessageId>().unwrap_err();
            assert!(error.to_string().contains("as in `msg_42`"), "{error}");
        }
    }

    #[test]
    fn names_refuse_what_would_break_a_path_or_a_screen() {
        assert!(ChannelName::new("order-updates").is_ok());
        assert!(ChannelName::new("订单通知").is_ok());
        for wrong in ["", "a b", "a/b", "-a", "a\u{1b}[2J", &"x".repeat(65)] {
            assert!(ChannelName::new(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_refusal_never_carries_control_characters() {
        let error = Recipient::new("a\u{1b}[2Jb").unwrap_err();
        assert!(!error.to_string().contains('\u{1b}'));
    }

    #[test]
    fn a_source_names_its_plugin() {
        assert!(SourceName::new("wechat.form_id").is_ok());
        assert!(SourceName::new("form_id").is_err());
    }
}
